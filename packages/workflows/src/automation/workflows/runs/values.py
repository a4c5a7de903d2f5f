"""The nouns of the engine: run, wait, wake, signal, attempt, occurrence. All are frozen, none does I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from automation.workflows.authoring.entities import EntityRef
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.wakes import Wake, WakeKind

__all__ = [
    "Attempt",
    "AttemptOutcome",
    "EntityRef",
    "JsonObject",
    "Occurrence",
    "Pause",
    "Run",
    "Signal",
    "StandingWait",
    "Unreadable",
    "Wake",
    "WakeKind",
    "WorkflowStatus",
]


class WorkflowStatus(StrEnum):
    """Where a run is. Which status may follow which is told in `runs.transitions` alone."""

    READY = "ready"
    """May be worked on now. A worker's claim moves it out. Swept again at `next_at` if nobody came."""
    RUNNING = "running"
    """A worker holds a claim until `claim_expires_at`. Its step's result, or the claim's end, moves it out."""
    WAITING = "waiting"
    """For a time (`wake_at`), a signal (`wait`) or both. The timer or the signal moves it out."""
    PAUSED = "paused"
    """Held, for the reason in `why`. A person, or the code's return (see `Pause`), moves it out."""
    COMPLETED = "completed"
    """A step returned `complete(...)`. Final; kept for the retention of finished runs."""
    FAILED = "failed"
    """`fail(...)`, attempts or lost claims used up, or a programming error. Only `engine.retry` moves it out."""
    CANCELLED = "cancelled"
    """Somebody, or the event it was planned for, called it off. Final."""

    @property
    def is_terminal(self) -> bool:
        """No worker and no clock will ever move it (FAILED can still be retried by a person)."""
        return self in {WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED}


class Pause(StrEnum):
    """Why a run is PAUSED, which decides who may resume it."""

    NONE = ""
    PERSON = "person"
    """`engine.pause`. Only `engine.resume` ends it."""
    MISSING = "missing"
    """The workflow or the step is not in this code. Ends by itself when a worker has it."""
    CONTEXT = "context"
    """The stored Context does not fit the class. Ends by itself when it fits again; the original is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One happening of one event, ahead or past, as the engine sees it."""

    id: str
    """Names the occurrence: a re-armed event has another one."""
    name: str
    entity: EntityRef
    at: datetime | None
    """The event's date, aware UTC; for an immediate event the time at which it occurred."""
    generation: int = 1
    payload: JsonObject | None = None
    about: tuple[EntityRef, ...] = ()
    """What the event is about besides its own entity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingWait:
    """The wait that a WAITING run stands in. `runs.matching.matches` decides whether a signal ends it."""

    signal: str
    """`""` for a plain sleep, which no signal ends."""
    key: str = ""
    """What the signal must be about: `""` anything, `key:<key>` a user's key, `entity:<type>:<id>` an entity."""
    entity_type: str = ""
    """With an entity key taken from the run itself: the model within which the entity must be the same.
    Events of other models pass. `""` when the key was asked for by name."""
    deadline_at: datetime | None = None
    on_timeout: str | None = None
    """The step to enter at the deadline; None: the step that waits."""
    then: str | None = None
    """The step to enter on the signal; None: the step that waits."""
    broadcasts_after: int = 0
    """Unaddressed signals at or below this mailbox position are not for this wait."""
    addressed_after: int = 0
    """Signals for the run's key or entity at or below this position are not for this wait."""
    run_after: int = 0
    """Signals for this very run at or below this position are not for this wait."""
    sent_after: datetime | None = None
    """With `since=timedelta`: signals sent before are not for this wait."""
    accept: tuple[str, ...] | None = None
    """Payload keys that may be merged into the Context; None: all that it declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A stored message to waiting runs."""

    id: UUID
    name: str
    payload: JsonObject | None = None
    key: str | None = None
    run_id: UUID | None = None
    subjects: tuple[EntityRef, ...] = ()
    """For `event:` signals: the entity of the event, then what the event is about."""
    sent_at: datetime
    position: int | None = None
    """Its place in the mailbox, allotted when delivery begins, under a lock; None before. Never a time, never an
    auto-increment: those are not in commit order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of one workflow: the whole truth about it, as stored."""

    id: UUID
    name: str
    version: str = "1"
    status: WorkflowStatus
    revision: int = 0
    """One more with every stored change: the fence. A write that expects an older one changes nothing."""
    current_step: str
    data: JsonObject | None = None
    """The Context as JSON; None for a reserved start, whose Context is made when it begins."""
    next_at: datetime | None = None
    """When the system must look at this run again; None when only a signal or a person can move it."""
    wake_at: datetime | None = None
    """The time a WAITING run waits for: its timer, deadline, or the event's time plus the offset."""
    claim_expires_at: datetime | None = None
    wait: StandingWait | None = None
    visit: int = 0
    """Counts visits of steps; a retry or a lost worker continues a visit."""
    attempt: int = 0
    """Attempts of this visit that ended in an exception."""
    visit_position: int = 0
    """The mailbox position when this visit began."""
    start_position: int = 0
    """The mailbox position when the run was created."""
    wake: Wake | None = None
    """What began the current visit; kept until the visit's transition, and where that is a failure, for a retry."""
    lost_claims: int = 0
    """Workers lost in this visit."""
    pause: Pause = Pause.NONE
    pause_requested: bool = False
    missing_since: datetime | None = None
    error: str = ""
    why: str = ""
    """Why it is not moving, for people. Empty when the status says it all."""
    run_key: str | None = None
    arguments_digest: str = ""
    """Digest of what a start with a key was given, by which a second start with other arguments is noticed."""
    entity: EntityRef | None = None
    occurrence: Occurrence | None = None
    """The occurrence it was planned for or started by (without payload)."""
    offset: timedelta = timedelta(0)
    parent_id: UUID | None = None
    parent_visit: int = 0
    """The visit of the parent that started this child: ends of children of an older visit wake nobody."""
    children_pending: int = 0
    """Children of the current visit that have not ended."""
    deadline_at: datetime | None = None
    """The workflow's own deadline; past it the run FAILS."""
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    @property
    def has_begun(self) -> bool:
        """Its Context exists; before, it is a reserved start that an edit of the data may still move or call off."""
        return self.data is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A stored run that this code cannot read: spoilt, or written by a newer release."""

    id: UUID
    reason: str


class AttemptOutcome(StrEnum):
    """How one try of one step ended."""

    GOTO = "goto"
    SLEEP = "sleep"
    WAIT = "wait"
    CHILDREN = "children"
    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"
    """It raised; another try follows."""
    EXHAUSTED = "exhausted"
    """It raised for the last time, or could not be retried."""
    LOST = "lost"
    """Its worker never came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one step: a history row, unique by (run, revision)."""

    run_id: UUID
    revision: int
    """The run's revision after this attempt was recorded."""
    step: str
    visit: int
    number: int
    """Counts from 1 within the visit."""
    outcome: AttemptOutcome
    started_at: datetime
    finished_at: datetime
    detail: str = ""
    """Where it led: the next step, the signal waited for, or the error's text (bounded)."""
