"""A project's own typed code, as it would be written: `make check` has mypy look at it, and nothing runs it."""

from datetime import datetime, timedelta
from typing import assert_type
from uuid import UUID

from pydantic import BaseModel

from automation.events.callbacks import on_event
from automation.events.models import Event, EventDelivery
from automation.events.querysets import EventQuerySet
from automation.workflows.core import (
    StepResult,
    complete,
    engine,
    event_workflow,
    get_context,
    get_wake,
    goto,
    sleep,
    step,
    wait,
)
from automation.workflows.models import WorkflowAttempt, WorkflowRun
from automation.workflows.querysets import WorkflowRunQuerySet


@on_event("checkin_due", offset=timedelta(minutes=-5))
def knock(event: Event) -> None:
    assert_type(event.at, datetime | None)
    assert_type(event.event_name, str)


@event_workflow("checkin_due", offset_minutes=-60)
class Reminder:
    class Context(BaseModel):
        reservation_id: int
        answered: bool = False

    @classmethod
    def create_context(cls, event: Event) -> Context:
        return cls.Context(reservation_id=event.entity.pk)

    @step(start=True)
    def remind(self) -> StepResult:
        context: Reminder.Context = get_context()
        if context.answered or get_wake().kind == "timeout":
            return goto(self.end)
        return wait("guest:answered", key=str(context.reservation_id), timeout=timedelta(hours=1))

    @step()
    async def end(self) -> StepResult:
        return complete() if get_wake().late < timedelta(hours=1) else sleep(timedelta(minutes=1))


def looked_at(now: datetime) -> None:
    assert_type(Event.objects.get(), Event)
    assert_type(Event.objects.due(now), EventQuerySet)
    assert_type(Event.objects.filter(event_name="checkin_due").due().first(), Event | None)
    assert_type([event.id for event in Event.objects.for_entity(Event())], list[UUID])
    assert_type(EventDelivery.objects.get().due_at, datetime | None)

    run = WorkflowRun.objects.get(pk=engine.start(Reminder, reservation_id=1).id)
    assert_type(run, WorkflowRun)
    assert_type(run.why, str)
    assert_type(run.status, str)
    assert_type(run.wake_at, datetime | None)
    assert_type(run.triggered_by_event_id, str | None)
    assert_type(run.attempts.last(), WorkflowAttempt | None)
    assert_type(WorkflowRun.objects.failed(), WorkflowRunQuerySet)
    assert_type(WorkflowRun.objects.filter(name="reminder").live().first(), WorkflowRun | None)
    assert run.data is not None
    assert_type(int(run.data["reservation_id"]), int)
