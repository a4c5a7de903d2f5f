"""What an executor calls on us: the worker's side of the Dispatcher."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

__all__ = ["Health", "Processor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong, in numbers. Each is counted up to a thousand per database: enough to know, and cheap."""

    overdue: int = 0
    """Events that are due and have not occurred."""
    owed: int = 0
    """Deliveries that are due and have not been made."""
    failed: int = 0
    """Deliveries that have failed for good; a person may run them again."""
    parked: int = 0
    """Deliveries whose callback no process that checked them knows."""

    def __add__(self, other: "Health") -> "Health":
        return Health(
            overdue=self.overdue + other.overdue,
            owed=self.owed + other.owed,
            failed=self.failed + other.failed,
            parked=self.parked + other.parked,
        )


class Processor(Protocol):
    """The event work a worker does when a message or schedule tells it to; safe to call twice and side by side."""

    def process_due_events(
        self, lookback_hours: int = 24, *, stop: Callable[[], bool] = lambda: False
    ) -> Mapping[str, Any]:
        """Let everything that is due occur and be delivered; nothing older than `lookback_hours` is left out.

        `stop` is asked between two calls of callbacks: true leaves the rest for the next time.
        """
        ...

    def cleanup_old_events(self, days_old: int = 30) -> Mapping[str, Any]:
        """Delete history older than `days_old` days without arming anything again."""
        ...

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> int:
        """Run these deliveries if they are still owed, each in its own transaction; return how many were run."""
        ...

    def health(self, before: datetime) -> Health:
        """Count what is owed since before this time (aware UTC), what has failed and what is parked."""
        ...
