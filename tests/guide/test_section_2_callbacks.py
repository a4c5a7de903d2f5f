"""Section 2: a function is called when an event is created, occurs, or is cancelled."""

from datetime import timedelta

import pytest
from django.utils import timezone

from automation.events.models import Event
from tests.guide.bookings.automations.lifecycle import note_cancelled, note_checkin, note_created, seen
from tests.guide.bookings.automations.single_step import send_welcome_email
from tests.guide.bookings.models import Reservation

pytestmark = pytest.mark.django_db


@pytest.fixture
def reservation():
    return Reservation(checkin_at=timezone.now() + timedelta(hours=5), status="confirmed")


def test_the_callback_of_the_block_is_called_once_for_the_confirmed_reservation(automation, reservation):
    automation.save(reservation)
    automation.save(reservation)

    automation.assert_called(send_welcome_email, about=reservation, times=1)


def test_it_is_not_called_for_one_that_is_not_confirmed(automation, reservation):
    automation.save(reservation, status="pending")

    automation.assert_not_called(send_welcome_email)


def test_the_entity_of_the_event_is_the_model_instance(automation, reservation):
    automation.save(reservation)

    event = Event.objects.get(event_name="reservation_confirmed")

    assert event.entity == reservation
    assert isinstance(event.entity, Reservation)


def test_on_event_created_is_called_when_the_event_is_armed(automation, reservation):
    automation.save(reservation)

    automation.assert_called(note_created, about=reservation)
    assert seen == [("created", "checkin_due", reservation)]


def test_on_event_is_called_when_it_occurs(automation, reservation):
    automation.save(reservation)
    automation.advance(hours=5)

    automation.assert_called(note_checkin)
    assert seen[-1] == ("occurred", "checkin_due", reservation)


def test_on_event_cancelled_is_called_after_the_deletion_and_still_gets_the_entity(automation, reservation):
    automation.save(reservation)
    key = reservation.pk

    automation.delete(reservation)

    automation.assert_called(note_cancelled)
    phase, name, entity = seen[-1]
    assert (phase, name, entity.pk) == ("cancelled", "checkin_due", key)
