"""Events on a second database: a test sees and moves them like those of the first."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from automation.events.callbacks import callback_registry
from automation.events.models import Event, EventDelivery
from automation.testing import Harness, UnsafeStepError
from automation.testing.installed import events_aliases, open_aliases
from tests.shop.automations import Careful, Prepare, note_payment
from tests.shop.models import Entry, Order

BOTH = ["default", "other"]
COMMITS = [
    pytest.param("rolled back", marks=pytest.mark.django_db(databases=BOTH)),
    pytest.param("committed", marks=pytest.mark.django_db(databases=BOTH, transaction=True)),
]


@pytest.fixture(params=COMMITS)
def automation(request):
    with Harness() as automation:
        yield automation


def saved_elsewhere(**fields):
    order = Order(**fields)
    order.save(using="other")
    return order


def test_a_call_made_there_is_seen(automation):
    order = saved_elsewhere(status="paid")
    automation.run_until_idle()

    automation.assert_occurred(order, "order_paid")
    automation.assert_called(note_payment, about=order)
    automation.assert_called(note_payment)


def test_what_is_planned_for_a_date_there_is_done(automation):
    order = saved_elsewhere(pickup_at=timezone.now() + timedelta(hours=3))
    automation.run_until_idle()
    automation.assert_waiting(Prepare)

    automation.advance_to(order.pickup_at)

    automation.assert_completed(Prepare, order_id=order.pk)


def test_a_recording_sees_what_is_caused_there(automation):
    with automation.recording() as caused:
        saved_elsewhere(status="paid", pickup_at=timezone.now() + timedelta(hours=3))

    assert caused.occurred == ["order_paid"]
    assert caused.armed == ["pickup_due"]
    assert caused.calls(note_payment)
    assert mail.outbox == []


def test_a_callback_there_that_is_not_safe_is_named(automation):
    callback_registry.register(
        lambda event: mail.send_mail("Paid", "", None, ["ada@example.com"]), "order_paid", name="shop.mail"
    )
    try:

        def story():
            saved_elsewhere(status="paid")
            automation.run_until_idle()

        with pytest.raises(UnsafeStepError, match=r"(?m)^Callback 'shop.mail' is not safe to repeat") as no:
            automation.at_every_crash_point(story)
        # Its entry is not written on the database of its delivery, with which it would be rolled back.
        assert "Callback 'tests.shop.automations.note_payment' is not safe to repeat" in str(no.value)
    finally:
        callback_registry.unregister("shop.mail")

    assert [Event.objects.using(alias).count() for alias in BOTH] == [0, 0]
    assert [EventDelivery.objects.using(alias).count() for alias in BOTH] == [0, 0]
    assert not Order.objects.using("other").exists()


def test_a_database_that_is_first_used_in_the_story_is_undone_as_well(automation):
    def story():
        Entry.objects.using("other").create(text="x")
        automation.start(Careful, number=1)
        return Entry.objects.using("other").count()

    assert automation.at_every_crash_point(story) > 0

    assert not Entry.objects.using("other").exists()


@pytest.mark.django_db
def test_of_a_database_that_the_test_was_not_given_nothing_is_asked():
    assert open_aliases() == ["default"]
    assert events_aliases() == ["default"]


@pytest.mark.django_db
def test_one_that_is_chosen_for_events_and_not_given_to_the_test_is_not_asked_either(settings):
    settings.AUTOMATION_EVENTS = {"DATABASES": BOTH}

    assert events_aliases() == ["default"]
