"""Section 6: on occurrence, workflows start and waits are woken; the task functions serve tests."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pydantic import BaseModel

from automation.events.models import Event
from automation.q2_executor import tasks
from automation.workflows.core import complete, engine, event_workflow, step
from tests.guide.bookings.automations.workflows import PreArrivalReminder
from tests.guide.bookings.models import Reservation

pytestmark = pytest.mark.django_db


@event_workflow("reservation_confirmed", entity_type="reservation")
class Welcome:
    class Context(BaseModel):
        entity_id: int

    @step(start=True)
    def run(self):
        return complete()


@event_workflow("checkin_due", offset_minutes=30)
class AskHowItIs:
    class Context(BaseModel):
        reservation_id: int

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(reservation_id=event.entity.pk)

    @step(start=True)
    def run(self):
        return complete()


@pytest.fixture
def reservation(automation):
    return automation.save(Reservation(checkin_at=timezone.now() + timedelta(hours=5), status="confirmed"))


def test_an_occurrence_starts_the_workflow_that_names_the_event(automation, reservation):
    run = automation.assert_completed(Welcome)

    assert run.occurrence.id == str(automation.event(reservation, "reservation_confirmed").pk)


def test_handling_the_same_event_again_starts_nothing_new(automation, reservation):
    event = Event.objects.get(event_name="reservation_confirmed")

    for _ in range(2):
        runs = engine.handle_event_occurred(event)
        automation.run_until_idle()

    assert [run.name for run in runs] == [automation.run(Welcome).name]
    assert len(automation.runs(Welcome)) == 1


def test_a_positive_offset_runs_that_long_after_the_event(automation, reservation):
    automation.advance_to(reservation.checkin_at)
    automation.assert_waiting(AskHowItIs, until=reservation.checkin_at + timedelta(minutes=30))

    automation.advance(minutes=30)

    automation.assert_completed(AskHowItIs, reservation_id=reservation.pk)


def test_the_task_functions_do_by_hand_what_the_schedules_do(automation, reservation):
    # The queue has lost everything, and nothing looks by itself: only the tasks do.
    automation.executor.drop()
    automation.clock.jump(hours=5)

    tasks.poll_due_events(hours=24)
    tasks.process_scheduled_workflows()
    automation.executor.run_until_idle()

    automation.assert_occurred(reservation, "checkin_due")
    automation.assert_completed(PreArrivalReminder)
