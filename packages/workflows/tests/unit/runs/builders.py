"""Runs in any status, and every cause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.authoring.results import Child, Children, Complete, Fail, Goto, Sleep, Wait
from automation.workflows.authoring.retry import Retry
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause
from automation.workflows.runs.children import children_wait, ended_signal, expecting
from automation.workflows.runs.values import EntityRef, Occurrence, Pause, Run, Signal, StandingWait, WorkflowStatus
from automation.workflows.runs.visits import first_wake

NOW = datetime(2030, 1, 7, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
RUN_ID = UUID(int=1)
CHILD_ID = UUID(int=2)
SIGNAL = Signal(id=UUID(int=3), name="x", payload={"n": 1}, sent_at=NOW, position=7)


def definition(*, on_fail: str | None = None) -> WorkflowDefinition:
    """Return a workflow with the steps one, two and, if asked for, undo."""

    def body(self: Any) -> None: ...

    names = ["one", "two", *([on_fail] if on_fail else [])]
    steps = {name: StepDefinition(name=name, function=body, retry=Retry(), start=name == "one") for name in names}
    from pydantic import BaseModel

    return WorkflowDefinition(
        name="w",
        version="1",
        owner="tests",
        cls=object,
        context=BaseModel,
        steps=steps,
        start_step="one",
        on_fail=on_fail,
    )


def run(status: WorkflowStatus = WorkflowStatus.READY, **changes: Any) -> Run:
    """Return a run that is consistent in its status."""
    base = Run(
        id=RUN_ID,
        name="w",
        status=status,
        revision=4,
        current_step="one",
        data={"n": 0},
        next_at=NOW,
        visit=2,
        visit_position=5,
        start_position=3,
        wake=replace(first_wake(RUN_ID), idempotency_key="key"),
        created_at=NOW - timedelta(days=1),
        updated_at=NOW - timedelta(minutes=1),
    )
    match status:
        case WorkflowStatus.RUNNING:
            base = replace(base, claim_expires_at=NOW)
        case WorkflowStatus.WAITING:
            base = replace(base, wait=StandingWait(signal="x", deadline_at=NOW), wake_at=NOW, wake=None)
        case WorkflowStatus.PAUSED:
            base = replace(base, pause=Pause.PERSON, next_at=None, why="audit")
        case WorkflowStatus.COMPLETED | WorkflowStatus.FAILED | WorkflowStatus.CANCELLED:
            base = replace(base, next_at=None, wake=None, finished_at=NOW)
    return replace(base, **changes)


def parent() -> Run:
    """Return a run that waits for one child."""
    waiting = run(WorkflowStatus.WAITING, wake_at=None, next_at=None)
    return replace(waiting, wait=children_wait(waiting, "two"), wake=expecting([child()]), children_pending=1)


def child() -> Run:
    return replace(run(), id=CHILD_ID, parent_id=RUN_ID, parent_visit=2)


def end_of_child() -> Signal:
    ended = replace(child(), status=WorkflowStatus.FAILED, error="no\nframes")
    signal = ended_signal(ended, 5, None, NOW)
    assert signal is not None
    return replace(signal, position=9)


def occurrence() -> Occurrence:
    return Occurrence(id="1", name="due", entity=EntityRef(type="a.b", id="1"), at=LATER)


def returned(result: Any) -> causes.Returned:
    return causes.Returned(result=result, data={"n": 1}, started_at=NOW, position=11)


CAUSES: dict[str, Cause] = {
    "Claimed": causes.Claimed(until=LATER, version="1", step="one", data={"n": 0}),
    "Missing": causes.Missing(pause=Pause.MISSING, reason="gone", gives_up=True, look_again_at=LATER),
    "Postponed": causes.Postponed(until=LATER),
    "Due": causes.Due(position=11),
    "Signalled": causes.Signalled(signal=SIGNAL),
    "ChildEnded": causes.ChildEnded(signal=end_of_child(), ends=(end_of_child().payload or {},)),
    "PauseRequested": causes.PauseRequested(),
    "Resumed": causes.Resumed(),
    "CancelRequested": causes.CancelRequested(reason="called off"),
    "RetryRequested": causes.RetryRequested(step=None, position=11),
    "DeadlinePassed": causes.DeadlinePassed(position=11),
    "Deferred": causes.Deferred(occurrence=occurrence(), planned_at=LATER, next_at=LATER, why="not begun"),
    "EventChanged": causes.EventChanged(),
    "Renewed": causes.Renewed(until=LATER),
    "Lost": causes.Lost(limit=5, reason="gone", position=11),
    "Goto": returned(Goto(step="two")),
    "Sleep": returned(Sleep(duration=timedelta(minutes=1))),
    "Wait": returned(Wait(signal="x")),
    "Children": returned(Children(children=(Child(workflow="w"),))),
    "Complete": returned(Complete()),
    "Fail": returned(Fail(reason="no")),
    "Retrying": causes.Raised(
        error="E: no\nframes", summary="E: no", data=None, started_at=NOW, position=11, retry_at=LATER
    ),
    "Exhausted": causes.Raised(
        error="E: no\nframes", summary="E: no", data=None, started_at=NOW, position=11, retry_at=None
    ),
}
"""One cause of each name in the table."""

FAILURE = Wake(kind=WakeKind.FAILURE, cause=WakeKind.FAILURE, payload={"step": "two", "error": "no"})


def gathered_two() -> Run:
    """Return a run that waits for two children."""
    waiting = parent()
    other = replace(child(), id=UUID(int=9))
    return replace(waiting, wake=expecting([child(), other]), children_pending=2)
