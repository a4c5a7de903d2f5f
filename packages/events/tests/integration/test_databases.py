"""More than one database."""

from datetime import timedelta

import pytest

from automation.events.callbacks import on_event
from automation.events.models import Event, EventDelivery
from automation.events.services import event_processor
from tests.doubles import RecordingSubscriber, subscribed
from tests.hotel.models import Ledger, Reservation
from tests.undoing import rolled_back

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

HOUR = timedelta(hours=1)


def test_rows_are_written_where_the_entity_is_saved(clock):
    reservation = Reservation(status="confirmed", checkin_at=clock.now() + HOUR)
    reservation.save(using="other")
    assert not Event.objects.exists()
    assert Event.objects.using("other").count() == 2
    event = Event.objects.for_entity(reservation).get(event_name="checkin_due")
    assert event._state.db == "other"
    assert event.entity == reservation
    assert event.is_valid


def test_rollback_of_one_database_leaves_the_other(clock):
    with rolled_back("other"):
        Reservation(status="confirmed").save(using="other")
        Reservation.objects.create()
    assert not Event.objects.using("other").exists()
    assert Event.objects.count() == 2


def test_every_database_with_the_tables_is_polled(clock):
    on_event("checkin_due", name="a")(lambda event: Ledger.objects.using("other").create(entry="a"))
    for alias in ("default", "other"):
        Reservation(status="confirmed", checkin_at=clock.now()).save(using=alias)
    assert event_processor.process_due_events(using="other")["events_processed"] == 1
    assert event_processor.process_due_events()["events_processed"] == 1
    assert Ledger.objects.using("other").count() == 2


def test_databases_may_be_named(clock, settings):
    settings.AUTOMATION_EVENTS = {"DATABASES": ["other"]}
    Reservation(status="confirmed", checkin_at=clock.now()).save(using="default")
    assert event_processor.process_due_events()["events_processed"] == 0


def test_database_that_fails_does_not_stop_the_others(clock, settings, monkeypatch):
    settings.AUTOMATION_EVENTS = {"DATABASES": ["default", "other"]}
    Reservation(status="confirmed", checkin_at=clock.now()).save(using="other")
    from automation.events import services

    poll = services.poll

    def failing(*, using, stop):
        if using == "default":
            raise RuntimeError("down")
        return poll(using=using, stop=stop)

    monkeypatch.setattr(services, "poll", failing)
    with pytest.raises(RuntimeError, match="down"):
        event_processor.process_due_events()
    assert Event.objects.using("other").filter(status="occurred").count() == 2


def test_subscriber_on_another_database_is_told_by_deliveries_in_order(clock):
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        reservation = Reservation.objects.create(status="pending", checkin_at=clock.now() + HOUR)
        assert subscriber.heard == [] or subscriber.kinds()[0] == "armed"
        reservation.checkin_at += HOUR
        reservation.save()
        reservation.delete()
        event_processor.process_due_events()
    told = [(kind, one.event_name) for kind, ones in subscriber.heard for one in ones]
    of_checkin = [kind for kind, name in told if name == "checkin_due"]
    assert of_checkin == ["armed", "moved", "ended deleted"]
    assert not EventDelivery.objects.exclude(status="delivered").exists()


def test_change_for_another_database_waits_in_order_while_that_fails(clock):
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        healthy, armed = False, subscriber.armed

        def maybe(occurrences, *, using):
            if not healthy:
                raise RuntimeError
            armed(occurrences, using=using)

        subscriber.armed = maybe
        reservation = Reservation.objects.create(status="pending", checkin_at=clock.now() + HOUR)
        reservation.checkin_at += HOUR
        reservation.save()
        assert subscriber.heard == [], "a later change does not overtake one that failed"
        healthy = True
        clock.advance(minutes=10)
        event_processor.process_due_events()
        event_processor.process_due_events()
    told = [kind for kind, ones in subscriber.heard for one in ones if one.event_name == "checkin_due"]
    assert told == ["armed", "moved"]


def test_subscriber_that_is_gone_parks_its_changes(clock):
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        subscriber.armed = lambda *_, **__: 1 / 0
        Reservation.objects.create()
    clock.advance(hours=1)
    event_processor.process_due_events()
    assert set(EventDelivery.objects.values_list("status", flat=True)) == {"parked"}
