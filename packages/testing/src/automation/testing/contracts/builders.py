"""Runs, signals and moves for the contract suites: what is not given does not matter to the test."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid5

from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import (
    Attempt,
    AttemptOutcome,
    EntityRef,
    Occurrence,
    Run,
    Signal,
    StandingWait,
    WorkflowStatus,
)

__all__ = [
    "NOW",
    "a_reserved_start",
    "a_run",
    "a_signal",
    "a_waiting_run",
    "an_attempt",
    "an_id",
    "an_occurrence",
    "moved",
]

NOW = datetime(2030, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
"""The time at which the contract plays; an adapter never looks at a clock of its own."""

_NAMESPACE = UUID("5f0c1a52-7c0e-4d53-9b0f-0d8a3a3f5a11")
_numbers = count(1)


def an_id() -> UUID:
    """Return an id that no other call gives; the same ids in the same order on every run."""
    return uuid5(_NAMESPACE, str(next(_numbers)))


def a_run(**fields: Any) -> Run:
    """Return a run that is READY and due now, unless `fields` say otherwise."""
    given = {
        "id": an_id(),
        "name": "parcel",
        "status": WorkflowStatus.READY,
        "current_step": "pack",
        "data": {},
        "next_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        **fields,
    }
    return Run(**given)


def a_waiting_run(wait: StandingWait, **fields: Any) -> Run:
    """Return a run that stands in this wait."""
    return a_run(**{"status": WorkflowStatus.WAITING, "next_at": wait.deadline_at, "wait": wait, **fields})


def an_occurrence(**fields: Any) -> Occurrence:
    """Return an occurrence a day ahead."""
    given = {
        "id": str(an_id()),
        "name": "parcel_due",
        "entity": EntityRef(type="shop.parcel", id="7"),
        "at": NOW + timedelta(days=1),
        **fields,
    }
    return Occurrence(**given)


def a_reserved_start(occurrence: Occurrence, offset: timedelta = timedelta(0), **fields: Any) -> Run:
    """Return a run that is reserved for an occurrence and has not begun."""
    assert occurrence.at is not None, "a start is reserved for a date"
    wake_at = occurrence.at + offset
    given = {
        "status": WorkflowStatus.WAITING,
        "data": None,
        "occurrence": occurrence,
        "entity": occurrence.entity,
        "offset": offset,
        "wake_at": wake_at,
        "next_at": wake_at,
        "why": "not begun",
        **fields,
    }
    return a_run(**given)


def a_signal(name: str = "paid", **fields: Any) -> Signal:
    """Return a signal that has not been posted."""
    return Signal(**{"id": an_id(), "name": name, "sent_at": NOW, **fields})


def an_attempt(run: Run, **fields: Any) -> Attempt:
    """Return the attempt that the next move of this run records."""
    given = {
        "run_id": run.id,
        "revision": run.revision + 1,
        "step": run.current_step,
        "visit": run.visit,
        "number": run.attempt + 1,
        "outcome": AttemptOutcome.GOTO,
        "started_at": NOW,
        "finished_at": NOW,
        **fields,
    }
    return Attempt(**given)


def moved(run: Run, *, recorded: Attempt | None = None, consumed: UUID | None = None, **changes: Any) -> Transition:
    """Return a move of this run that changes these fields; `recorded` is its history row."""
    after = replace(run, **{"revision": run.revision + 1, **changes})
    return Transition(before=run, after=after, cause="Moved", attempt=recorded, consumed=consumed)
