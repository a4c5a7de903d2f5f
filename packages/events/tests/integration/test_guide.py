"""The first two sections of the guide, as a project would meet them."""

from datetime import timedelta

import pytest

from automation.events.callbacks import on_event
from automation.events.models import Event, EventStatus
from automation.events.services import event_processor
from tests.hotel.models import Ledger, Reservation

pytestmark = pytest.mark.django_db(transaction=True)


def test_immediate_event_occurs_right_after_the_commit_that_confirms(clock):
    @on_event(event_name="reservation_confirmed")
    def send_welcome_email(event: Event) -> None:
        Ledger.objects.create(entry=f"welcome {event.entity.pk}")

    reservation = Reservation.objects.create()
    assert not Ledger.objects.exists()
    reservation.status = "confirmed"
    reservation.save()

    assert [one.entry for one in Ledger.objects.all()] == [f"welcome {reservation.pk}"]
    event = Event.objects.for_entity(reservation).get(event_name="reservation_confirmed")
    assert event.status == EventStatus.OCCURRED
    reservation.save()
    assert Ledger.objects.count() == 1


def test_scheduled_event_occurs_at_its_date(clock):
    seen = []
    on_event("checkin_due", name="seen")(lambda event: seen.append(event.entity.pk))
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(hours=2))

    event_processor.process_due_events()
    assert seen == []
    clock.advance(hours=2)
    report = event_processor.process_due_events()

    assert seen == [reservation.pk]
    assert report["events_processed"] == 1
    assert report["due_events_found"] == 1
    assert event_processor.process_due_events()["events_processed"] == 0


def test_moved_date_moves_the_event(clock):
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(hours=2))
    reservation.checkin_at += timedelta(hours=5)
    reservation.save()
    clock.advance(hours=2)
    assert event_processor.process_due_events()["due_events_found"] == 0
    clock.advance(hours=5)
    assert event_processor.process_due_events()["events_processed"] == 1
