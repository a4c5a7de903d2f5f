"""A reserved start begins, or does not: decided on what its event is now, never on what it was when reserved."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from automation.workflows.authoring.contexts import dump
from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.engine.errors_text import bounded, summarise
from automation.workflows.engine.resting import after_blind_look
from automation.workflows.engine.runtime import Runtime
from automation.workflows.errors import EventsAway, NotConfigured
from automation.workflows.ports.occurrences import Snapshot
from automation.workflows.runs.causes import CancelRequested, Deferred
from automation.workflows.runs.values import Run
from automation.workflows.runs.visits import clock_text

__all__ = ["Beginning", "Begun", "NotBegun", "begin", "look", "unseen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """It begins, with this Context."""

    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBegun:
    """It is called off, or put off."""

    cause: CancelRequested | Deferred


Beginning: TypeAlias = Begun | NotBegun


def look(runtime: Runtime, run: Run) -> Snapshot | None:
    """Look at the event afresh. Raises NotConfigured, EventsAway, and whatever else the reader raises."""
    assert run.occurrence is not None
    if runtime.wiring.occurrences is None:
        raise NotConfigured(
            f"Run {run.id} of {run.name!r} was started by an event, and nothing here knows events. "
            "Add 'automation.bridge' to INSTALLED_APPS."
        )
    return runtime.wiring.occurrences.snapshot(run.occurrence.id)


def unseen(runtime: Runtime, step: StepDefinition, run: Run, away: EventsAway) -> Deferred:
    """Put off a start whose event cannot be read: it stays reserved, and is looked at again in a while."""
    assert run.occurrence is not None
    planned = None if run.occurrence.at is None else run.occurrence.at + run.offset
    again_at = after_blind_look(runtime, step, run, planned)
    what = summarise(away.__cause__ or away)
    why = f"not begun: its event cannot be read ({what}); looked at again at {clock_text(again_at)}"
    policy = runtime.policy
    return Deferred(
        occurrence=run.occurrence,
        planned_at=planned,
        next_at=again_at,
        why=bounded(why, policy.error_length, policy.redact),
    )


def begin(runtime: Runtime, definition: WorkflowDefinition, run: Run, snapshot: Snapshot | None) -> Beginning:
    """Decide by what the event is now, and make the Context. Raises whatever the author's code raises."""
    if snapshot is None:
        return _cancelled("its event is gone")
    if snapshot.ended:
        return _cancelled("its event ended without occurring")
    if run.occurrence is not None and snapshot.occurrence.generation != run.occurrence.generation:
        return _cancelled("its event lost the date that it was planned for; a new date has a start of its own")
    if not snapshot.occurred and (put_off := _put_off(runtime, run, snapshot)) is not None:
        return put_off
    if not definition.wants(snapshot.event):
        return _cancelled("should_run_for_event declined it")
    return Begun(data=dump(definition.context_for_event(snapshot.event), runtime.policy.context))


def _put_off(runtime: Runtime, run: Run, snapshot: Snapshot) -> NotBegun | None:
    """Put off a start whose date has moved away, or whose condition does not hold before the event."""
    occurrence = replace(snapshot.occurrence, payload=None)
    planned = None if occurrence.at is None else occurrence.at + run.offset
    if planned is not None and planned > runtime.now():
        return NotBegun(cause=Deferred(occurrence=occurrence, planned_at=planned, next_at=planned, why="not begun"))
    if snapshot.valid:
        return None
    why = "not begun: the condition of its event does not hold; a save that makes it true begins it"
    return NotBegun(cause=Deferred(occurrence=occurrence, planned_at=planned, next_at=None, why=why))


def _cancelled(why: str) -> NotBegun:
    return NotBegun(cause=CancelRequested(reason=why))
