"""Section 1: events are declared on a model; saving maintains their rows."""

import contextlib
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from automation.events.definitions import EventDefinition
from automation.events.models import Event, EventStatus
from tests.guide.bookings.models import Reservation

pytestmark = pytest.mark.django_db


def reservation(**fields):
    return Reservation(**{"checkin_at": timezone.now() + timedelta(hours=5), **fields})


def test_the_block_declares_what_it_shows():
    immediate, scheduled = Reservation.events

    assert (immediate.name, immediate.is_immediate()) == ("reservation_confirmed", True)
    assert (scheduled.name, scheduled.date_field) == ("checkin_due", "checkin_at")
    assert all(isinstance(each, EventDefinition) for each in Reservation.events)


def test_saving_makes_one_row_for_each_definition_whether_or_not_its_condition_holds(automation):
    one = automation.save(reservation())

    rows = Event.objects.for_entity(one)

    assert [(row.event_name, row.status, row.is_valid) for row in rows] == [
        ("checkin_due", EventStatus.PENDING, False),
        ("reservation_confirmed", EventStatus.PENDING, False),
    ]


def test_an_immediate_event_occurs_right_after_the_commit(automation):
    one = automation.save(reservation(status="confirmed"))

    automation.assert_occurred(one, "reservation_confirmed")


def test_an_immediate_event_occurs_on_the_later_save_that_makes_its_condition_true(automation):
    one = automation.save(reservation())
    automation.assert_not_occurred(one, "reservation_confirmed")

    automation.save(one, status="confirmed")

    automation.assert_occurred(one, "reservation_confirmed")


def test_it_occurs_once_however_often_one_saves(automation):
    one = automation.save(reservation(status="confirmed"))

    for _ in range(3):
        automation.save(one)

    automation.assert_occurred(one, "reservation_confirmed", times=1)


def test_a_rollback_leaves_nothing(automation):
    with contextlib.suppress(RuntimeError), transaction.atomic():
        reservation(status="confirmed").save()
        raise RuntimeError
    automation.run_until_idle()

    assert not Event.objects.exists()


def test_a_scheduled_event_occurs_at_its_date_and_not_before(automation):
    one = automation.save(reservation(status="confirmed"))
    automation.assert_pending(one, "checkin_due", at=one.checkin_at)

    automation.advance(hours=4, minutes=59)
    automation.assert_not_occurred(one, "checkin_due")
    automation.advance(minutes=1)

    assert automation.assert_occurred(one, "checkin_due").occurred_at == one.checkin_at


def test_a_scheduled_event_is_gated_by_its_condition(automation):
    one = automation.save(reservation(status="cancelled"))

    automation.advance(hours=6)
    automation.assert_not_occurred(one, "checkin_due")


def test_the_date_may_be_moved(automation):
    one = automation.save(reservation(status="confirmed"))

    automation.save(one, checkin_at=one.checkin_at + timedelta(days=1))
    automation.advance(hours=6)
    automation.assert_not_occurred(one, "checkin_due")
    automation.advance(days=1)

    automation.assert_occurred(one, "checkin_due")


def test_deleting_the_object_cancels_what_is_pending(automation):
    one = automation.save(reservation(status="confirmed"))
    key = one.pk

    automation.delete(one)

    assert Event.objects.get(entity_id=str(key), event_name="checkin_due").status == EventStatus.CANCELLED
