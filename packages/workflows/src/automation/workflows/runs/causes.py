"""Why a run moves. A closed family: `decide` has one arm for each."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.results import StepResult
from automation.workflows.runs.values import Occurrence, Pause, Signal

__all__ = [
    "CancelRequested",
    "Cause",
    "ChildEnded",
    "Claimed",
    "DeadlinePassed",
    "Deferred",
    "Due",
    "EventChanged",
    "Lost",
    "Missing",
    "PauseRequested",
    "Postponed",
    "Raised",
    "Renewed",
    "Resumed",
    "RetryRequested",
    "Returned",
    "Signalled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A worker takes the run."""

    until: datetime
    version: str
    """The version of the code that goes on with it."""
    step: str
    """The step as this code calls it."""
    data: JsonObject | None
    """The Context, brought to that version's shape and with the signal's payload merged; None for a reserved start."""
    rejected: tuple[tuple[str, str], ...] = ()
    """Payload keys that did not validate."""

    name = "Claimed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """This worker's code cannot go on with the run."""

    pause: Pause
    reason: str
    gives_up: bool
    """The grace for a deploy is over: pause it. Before, it stays READY for a worker that has the code."""
    look_again_at: datetime

    name = "Missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """The sweep has done what it could for now (it gave the hint again); look again later."""

    until: datetime

    name = "Postponed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The time that the run waits for has come: its timer, its wait's deadline, its retry or its planned start."""

    position: int
    """The mailbox position read just before: broadcasts after it are for the new visit."""

    name = "Due"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signalled:
    """A signal ends the run's wait."""

    signal: Signal

    name = "Signalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded:
    """A child of the current visit has ended, however it ended; the signal's payload tells."""

    signal: Signal
    ends: tuple[JsonObject, ...] | None = None
    """What the children have told so far, this one included, in that order; None where others are known to be out."""
    error: str = ""
    """Why the run fails once all have ended: what they told fits no row together."""

    name = "ChildEnded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """A person holds the run."""

    reason: str = "paused by hand"

    name = "PauseRequested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person lets the run go on, or the code it missed is back."""

    name = "Resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """The run is called off."""

    reason: str

    name = "CancelRequested"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested:
    """A person has a failed run try again."""

    step: str | None
    """None: the visit that failed goes on, with what woke it and its key."""
    position: int

    name = "RetryRequested"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed:
    """The workflow's own deadline is over."""

    position: int

    name = "DeadlinePassed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """A reserved start was looked at and may not begin yet."""

    occurrence: Occurrence
    """As it is now: its date may have moved."""
    planned_at: datetime | None
    next_at: datetime | None
    """None: only a change of its event can make it begin."""
    why: str

    name = "Deferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChanged:
    """The event of a start that is about to begin has changed: a worker that looked at it before must look again."""

    name = "EventChanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The worker still works on it: a heartbeat."""

    until: datetime

    name = "Renewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The worker is gone, or could not store what it did."""

    limit: int
    """The run fails when it loses this many workers in one visit."""
    reason: str
    position: int
    again_at: datetime | None = None
    """When the next worker may take it; None: at once."""

    name = "Lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A step returned a result."""

    result: StepResult
    data: JsonObject
    """The Context after the step."""
    started_at: datetime
    position: int
    """The mailbox position read just before."""
    run_on_until: datetime | None = None
    """After `goto`: the same worker goes on at once, with a claim until then. None: it gives the run back."""

    @property
    def name(self) -> str:
        """The result's own name, as in the table."""
        return type(self.result).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """A step raised."""

    error: str
    """Type, message and traceback, bounded."""
    summary: str
    """One line of it."""
    data: JsonObject | None
    """The Context to keep; None: as it was before the attempt."""
    started_at: datetime
    position: int
    retry_at: datetime | None
    """None: no further try."""

    @property
    def name(self) -> str:
        """`Retrying` or `Exhausted`: decided before anything is written, so that each leads to one place."""
        return "Exhausted" if self.retry_at is None else "Retrying"


Cause: TypeAlias = (
    Claimed
    | Missing
    | Postponed
    | Due
    | Signalled
    | ChildEnded
    | PauseRequested
    | Resumed
    | CancelRequested
    | RetryRequested
    | DeadlinePassed
    | Deferred
    | EventChanged
    | Renewed
    | Lost
    | Returned
    | Raised
)
