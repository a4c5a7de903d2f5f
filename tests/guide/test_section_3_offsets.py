"""Section 3: a workflow begins before, at or after the time of its event."""

from datetime import timedelta

import pytest
from django.utils import timezone

from automation.workflows.models import WorkflowRun, WorkflowStatus
from tests.guide.bookings.automations.workflows import PreArrivalReminder
from tests.guide.bookings.models import Reservation

pytestmark = pytest.mark.django_db
AN_HOUR = timedelta(hours=1)


@pytest.fixture
def reservation():
    return Reservation(checkin_at=timezone.now() + timedelta(hours=5), status="confirmed")


def test_a_negative_offset_runs_before_the_event(automation, reservation):
    automation.save(reservation)
    automation.assert_waiting(PreArrivalReminder, until=reservation.checkin_at - AN_HOUR)

    automation.advance_to(reservation.checkin_at - AN_HOUR)

    run = automation.assert_completed(PreArrivalReminder, reservation_id=reservation.pk)
    assert run.finished_at == reservation.checkin_at - AN_HOUR
    automation.assert_not_occurred(reservation, "checkin_due")


def test_it_is_not_a_minute_early(automation, reservation):
    automation.save(reservation)

    automation.advance_to(reservation.checkin_at - AN_HOUR - timedelta(minutes=1))

    automation.assert_waiting(PreArrivalReminder)


def test_the_run_waits_with_its_time_as_soon_as_the_event_is_armed(automation, reservation):
    automation.save(reservation)

    row = WorkflowRun.objects.get(pk=automation.run(PreArrivalReminder).id)

    assert (row.status, row.wake_at) == (WorkflowStatus.WAITING, reservation.checkin_at - AN_HOUR)
    assert row.entity == reservation
    assert row.why


def test_it_moves_with_the_date(automation, reservation):
    automation.save(reservation)

    automation.save(reservation, checkin_at=reservation.checkin_at + timedelta(days=2))

    automation.assert_waiting(PreArrivalReminder, until=reservation.checkin_at - AN_HOUR)
    automation.advance(days=1)
    automation.assert_waiting(PreArrivalReminder)
    automation.advance(days=1, hours=4)
    automation.assert_completed(PreArrivalReminder)


def test_it_is_cancelled_with_the_reservation(automation, reservation):
    automation.save(reservation)

    automation.delete(reservation)
    automation.assert_cancelled(PreArrivalReminder)

    automation.advance(days=1)
    automation.assert_cancelled(PreArrivalReminder)


def test_it_does_not_run_when_the_condition_no_longer_holds(automation, reservation):
    automation.save(reservation)

    automation.save(reservation, status="cancelled")
    automation.advance(hours=4)

    automation.assert_waiting(PreArrivalReminder)


def test_it_starts_at_once_when_its_time_has_passed_and_the_event_has_not(automation, reservation):
    automation.save(reservation, checkin_at=timezone.now() + timedelta(minutes=10))

    automation.assert_completed(PreArrivalReminder)


def test_it_runs_once_for_one_event(automation, reservation):
    automation.save(reservation)
    automation.advance(days=1)
    automation.save(reservation)
    automation.advance(days=1)

    assert len(automation.runs(PreArrivalReminder)) == 1
