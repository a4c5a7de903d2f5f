"""Cleaning up: old history goes, and nothing occurs again because of it."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from automation.events import cleanup
from automation.events.callbacks import on_event, on_event_rescheduled
from automation.events.models import Event, EventDelivery
from automation.events.services import event_processor
from tests.hotel.models import Alarm, Ledger, Reservation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def book(callbacks):
    on_event(name="book")(lambda event: Ledger.objects.create(entry=event.event_name))


def test_cleaning_up_never_makes_anything_occur_again(clock):
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    event_processor.process_due_events()
    assert Ledger.objects.count() == 2
    clock.advance(days=40)
    report = event_processor.cleanup_old_events(30)
    assert (report["deleted_count"], report["emptied_count"]) == (0, 2)
    reservation.save()
    event_processor.process_due_events()
    assert Ledger.objects.count() == 2
    assert not EventDelivery.objects.exists(), "what was delivered is history, too"
    assert event_processor.cleanup_old_events(30)["emptied_count"] == 0, "and is not looked at again"


def test_history_goes_in_batches(clock, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 2}
    alarm = Alarm.objects.create()
    for _ in range(5):
        for level in (9, 1):
            alarm.level = level
            alarm.save()
    clock.advance(days=40)
    assert event_processor.cleanup_old_events(30)["deleted_count"] == 4
    assert Event.objects.count() == 1
    alarm.level = 9
    alarm.save()
    assert Ledger.objects.count() == 6
    assert Event.objects.for_entity(alarm).current().get().generation == 6


def test_recent_history_stays(clock):
    Reservation.objects.create(status="confirmed").delete()
    clock.advance(days=29)
    assert event_processor.cleanup_old_events(30)["deleted_count"] == 0
    clock.advance(days=2)
    assert event_processor.cleanup_old_events(30)["deleted_count"] == 2


def test_what_is_pending_or_owes_a_call_stays(clock):
    on_event("reservation_confirmed", name="after", offset=timedelta(days=60))(lambda event: None)
    Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(days=300)).delete()
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(days=300))
    clock.advance(days=40)
    event_processor.cleanup_old_events(30)
    assert EventDelivery.objects.filter(callback="after", status="pending").count() == 1
    assert Event.objects.for_entity(reservation).count() == 2


def test_parked_call_stays_with_its_event(clock):
    Reservation.objects.create(status="confirmed").delete()
    EventDelivery.objects.filter(event__event_name="reservation_confirmed").update(status="parked", next_at=None)
    clock.advance(days=40)
    event_processor.cleanup_old_events(30)
    assert EventDelivery.objects.get().status == "parked"


def test_failed_call_for_a_move_of_an_event_still_ahead_stays_for_a_person(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}
    on_event_rescheduled("checkin_due", name="bad")(lambda event: 1 / 0)
    reservation = Reservation.objects.create(checkin_at=clock.now() + timedelta(days=300))
    reservation.checkin_at += timedelta(days=1)
    reservation.save()
    assert EventDelivery.objects.failed().count() == 1
    clock.advance(days=40)
    event_processor.cleanup_old_events(30)
    assert EventDelivery.objects.failed().count() == 1


def test_marks_of_entities_that_vanished_are_deleted(clock):
    Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    event_processor.process_due_events()
    Reservation.objects.all()._raw_delete("default")
    clock.advance(days=40)
    assert event_processor.cleanup_old_events(30)["deleted_count"] == 2
    assert not Event.objects.exists()


def test_emptied_mark_is_cleaned_up_after_its_entity(clock):
    reservation = Reservation.objects.create(status="confirmed")
    clock.advance(days=40)
    event_processor.cleanup_old_events(30)
    reservation.delete()
    clock.advance(days=40)
    event_processor.cleanup_old_events(30)
    assert not Event.objects.exists()


def test_call_made_before_an_event_still_ahead_is_remembered_however_old(clock):
    on_event("checkin_due", name="early", offset=timedelta(days=-60))(
        lambda event: Ledger.objects.create(entry="early")
    )
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(days=61))
    clock.advance(days=1)
    event_processor.process_due_events()
    clock.advance(days=40)
    event_processor.cleanup_old_events(30)
    clock.advance(days=20)
    event_processor.process_due_events()
    assert Event.objects.for_entity(reservation).get(event_name="checkin_due").status == "occurred"
    assert Ledger.objects.filter(entry="early").count() == 1


def test_marks_of_an_app_that_is_not_installed_stay(clock):
    """Nobody can tell whether its entities exist; when the app is back they must not occur again."""
    Reservation.objects.create(status="confirmed")
    Event.objects.update(entity_type="gone.reservation")
    clock.advance(days=31)
    event_processor.cleanup_old_events()
    assert Event.objects.filter(status="occurred", current_key__isnull=False).count() == 1


@pytest.mark.parametrize("others", [0, 1])
def test_mark_that_becomes_history_while_it_is_cleaned_up_is_kept_as_such(clock, monkeypatch, others):
    """Its entity had vanished when it was asked for, and is saved again before the mark is deleted."""
    alarms = [Alarm.objects.create(level=9) for _ in range(1 + others)]
    Alarm.objects.all()._raw_delete("default")
    clock.advance(days=40)
    look = cleanup.existing_ids

    def looked_for_and_then_saved(*args, **options):
        found = look(*args, **options)
        if not Alarm.objects.exists():
            Alarm.objects.create(pk=alarms[0].pk, level=9)
        return found

    monkeypatch.setattr(cleanup, "existing_ids", looked_for_and_then_saved)

    report = event_processor.cleanup_old_events(30)

    assert report["deleted_count"] == others
    assert Event.objects.for_entity(alarms[0]).count() == 2, "what was, and the new object's"
    assert Event.objects.count() == 2


def test_mark_that_is_armed_again_while_it_is_cleaned_up_keeps_its_calls(clock, monkeypatch):
    """Its date is moved ahead between the look at its entity and the emptying of its row."""
    hour_before = on_event("checkin_due", name="early", offset=timedelta(hours=-1))
    hour_before(lambda event: Ledger.objects.create(entry="early"))
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    event_processor.process_due_events()
    clock.advance(days=40)
    before = Ledger.objects.count()
    look = cleanup.existing_ids

    def looked_for_and_then_moved(*args, **options):
        found = look(*args, **options)
        reservation.checkin_at = clock.now() + timedelta(days=1)
        reservation.save()
        return found

    monkeypatch.setattr(cleanup, "existing_ids", looked_for_and_then_moved)

    report = event_processor.cleanup_old_events(30)

    assert report["emptied_count"] == 1, "the confirmation's alone"
    clock.advance(hours=23)
    event_processor.process_due_events()
    assert list(Ledger.objects.order_by("pk").values_list("entry", flat=True))[before:] == ["early"]
    clock.advance(hours=1)
    event_processor.process_due_events()
    assert Ledger.objects.count() == before + 2


@pytest.mark.parametrize("days", ["30", None, -1, float("nan"), float("inf"), 10**12, timedelta(days=30)])
def test_an_age_that_is_no_number_of_days_is_refused(days):
    with pytest.raises(ValueError, match=rf"days_old={re.escape(repr(days))} is not a number of days. Give 0 or more"):
        event_processor.cleanup_old_events(days)


def test_the_command_says_so_without_a_traceback():
    with pytest.raises(CommandError, match="days_old=-1 is not a number of days"):
        call_command("process_events", "--cleanup", "--cleanup-days=-1", stdout=StringIO())
