"""What woke a step: the answer of `get_wake()`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from automation.workflows.authoring.payloads import JsonObject

__all__ = ["Wake", "WakeKind"]


class WakeKind(StrEnum):
    """What woke this entry into a step."""

    START = "start"
    GOTO = "goto"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    TIMER = "timer"
    RETRY = "retry"
    CHILDREN = "children"
    FAILURE = "failure"
    """The run has failed and this is its `@on_fail` step; the payload tells which step failed, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """What woke the current visit of a step. It belongs to the visit: retries and lost workers do not change it."""

    kind: WakeKind
    """RETRY on every attempt but the first, else the same as `cause`."""
    cause: WakeKind
    """What began the visit."""
    signal: str | None = None
    payload: JsonObject | None = None
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Payload keys that did not validate and were left out, with the reason."""
    sent_at: datetime | None = None
    late: timedelta = timedelta(0)
    """How long after its due time the visit began (timers, timeouts and offsets)."""
    attempt: int = 1
    """Counts from 1 within the visit."""
    idempotency_key: str = ""
    """The same on every attempt of the visit: uuid5 of (run id, visit)."""
    asked: str = ""
    """What the wait that the signal ended had asked for: `key:<key>`, `entity:<type>:<id>`, or nothing."""
    deadline_at: datetime | None = None
    """The deadline of the wait that a signal ended, when it re-entered the step that waited: waiting again for the
    same signal, about the same, keeps it."""
