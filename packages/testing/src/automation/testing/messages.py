"""What a FakeExecutor queues: one message each for a run, an event's delivery, or a look at what is due."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

__all__ = ["Kind", "Message"]


class Kind(StrEnum):
    """What a message asks a worker to do."""

    RUN = "run"
    """Work on a run: `Worker.execute_step(run_id)`."""
    DELIVERY = "delivery"
    """Call a callback: `Processor.deliver([delivery_id])`."""
    HINT = "hint"
    """See which events are due: `Processor.process_due_events()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message in the queue."""

    number: int
    """Counts from 1 in the order of sending; a duplicate keeps the number of its original."""
    kind: Kind
    due_at: datetime
    """Not before this moment (aware UTC); the moment of sending when it is due at once."""
    id: UUID | None = None
    """The run or the delivery; None for a hint."""
    using: str | None = None
    """The database alias, for deliveries and hints."""

    def __str__(self) -> str:
        subject = "due events" if self.kind is Kind.HINT else f"{self.kind} {self.id}"
        return f"#{self.number} {subject}, due {self.due_at.isoformat(sep=' ', timespec='milliseconds')}"
