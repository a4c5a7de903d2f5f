"""Those who must know of every change of an event in the transaction that makes it: the bridge to workflows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

__all__ = ["Deriving", "Eraser", "Fingerprinted", "Occurrence", "Subscriber"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One happening of one event, past or still ahead, as plain values."""

    event_id: UUID
    """The Event row. A re-armed date gets a new row, so the id names the occurrence, not only the declaration."""
    event_name: str
    entity_type: str
    """`app_label.model` of the concrete model that declares the event, lower-case."""
    entity_id: str
    at: datetime | None
    """The date of a scheduled event, aware UTC; None for an immediate one that has not occurred."""
    generation: int
    """1 for the first occurrence of this event on this entity, one more each time it is re-armed."""
    occurred_at: datetime | None = None
    payload: Mapping[str, Any] | None = None
    """What the definition's `payload` gave, JSON values only; set once the event has occurred."""
    about: tuple[tuple[str, str], ...] = ()
    """What the event is about besides its own entity: (entity type, entity id) pairs."""


class Subscriber(Protocol):
    """Follows events inside the transactions that change them. Called in bulk, at most once per kind and save.

    A subscriber must guarantee:

    1. Calls are idempotent: the same occurrence may be announced again (a repeated sync, a retried transaction).
    2. It only writes rows; it calls no user code and no network, because the user's save is waiting.
    3. What it raises rolls the save back, so it raises only when it cannot do its duty.
    """

    @property
    def name(self) -> str:
        """A stable name, written on the deliveries that carry changes across databases."""
        ...

    @property
    def alias(self) -> str | None:
        """The database it writes to, or None for "that of the event".

        When it is not the alias of the save, the events package stores one Delivery per change beside the event and
        calls the subscriber when that is processed: at least once, in order for one event.
        """
        ...

    def armed(self, occurrences: Sequence[Occurrence], *, using: str) -> None:
        """These now lie ahead (immediate events are armed when their row is made)."""
        ...

    def moved(self, occurrences: Sequence[Occurrence], *, using: str) -> None:
        """These lie ahead with another date, or their condition has turned true since the last look."""
        ...

    def ended(self, occurrences: Sequence[Occurrence], *, reason: str, using: str) -> None:
        """These will not occur.

        `reason` is `cancelled`, `disarmed`, `deleted`, `expired`, or `superseded` (by a new generation).
        """
        ...

    def occurred(self, occurrences: Sequence[Occurrence], *, using: str) -> None:
        """These have occurred in this transaction."""
        ...


@runtime_checkable
class Fingerprinted(Protocol):
    """Optional: a subscriber that plans work ahead of events."""

    @property
    def fingerprint(self) -> str:
        """A text that changes when what it plans for armed events changes, such as its triggers.

        When it does, the processor announces everything that lies ahead once more, in chunks: by `derived` to a
        subscriber that has it, else by `armed`.
        """
        ...


@runtime_checkable
class Deriving(Protocol):
    """Optional: a subscriber that also moves planned work after a deploy, and does not only add to it."""

    def derived(self, occurrences: Sequence[Occurrence], *, using: str) -> None:
        """These lie ahead, as was announced before; the code has changed: add what is missing, move what differs."""
        ...

    def withdraw(self, *, dry_run: bool) -> int:
        """Take back what hangs on events, has not begun, and is gone from the code; return how much.

        `sync_events` calls it. `dry_run` only counts.
        """
        ...


class Eraser(Protocol):
    """Erases what a package has stored about one entity; `manage.py automation_erase` calls them all.

    A call is idempotent, gives how many rows it emptied, and leaves what keeps things from happening twice.
    """

    def __call__(self, entity_type: str, entity_id: str) -> int:
        """Empty what is stored about the entity: payloads, contexts, error texts."""
        ...
