"""What an executor calls on us: the worker's side of the Dispatcher."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

__all__ = ["Processor"]


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
