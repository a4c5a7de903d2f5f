"""The processor: what a schedule, a queue or a command calls to let due things happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from automation.events.databases import candidates, is_served
from automation.events.lifecycle.reconcile import earlier
from automation.events.polling import Tally, next_due, poll
from automation.events.ports.processor import Health
from automation.events.ports.wiring import wiring

__all__ = ["EventProcessor", "event_processor"]

T = TypeVar("T")


class EventProcessor:
    """Does what is due on every database that has the tables; safe to call twice and side by side."""

    def process_due_events(
        self, lookback_hours: float = 24, *, using: str | None = None, stop: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """Let everything that is due occur, and make the calls that are owed, oldest first.

        `lookback_hours` is accepted for compatibility and ignored: nothing older is left out. `stop` is asked between
        two calls.
        """
        now = wiring.clock.now()
        total = Tally()
        for tally in _each(using, lambda alias: poll(using=alias, stop=stop)):
            total += tally
        return {
            "due_events_found": total.found,
            "events_processed": total.occurred,
            "deliveries_made": total.delivered,
            "timestamp": now,
        }

    def cleanup_old_events(self, days_old: int = 30, *, using: str | None = None) -> dict[str, Any]:
        """Delete history older than `days_old` days, in batches; nothing occurs again because of it.

        Raises ValueError for what is not a number of days.
        """
        from automation.events.cleanup import clean_up

        if not isinstance(days_old, int | float) or not 0 <= days_old <= timedelta.max.days:
            raise ValueError(f"days_old={days_old!r} is not a number of days. Give 0 or more, such as 30.")
        cutoff = earlier(wiring.clock.now(), timedelta(days=days_old))
        deleted, emptied, calls = 0, 0, 0
        for report in _each(using, lambda alias: clean_up(cutoff, using=alias)):
            deleted += report.deleted
            emptied += report.emptied
            calls += report.calls
        return {"deleted_count": deleted, "emptied_count": emptied, "calls_deleted": calls, "cutoff_date": cutoff}

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> int:
        """Make these calls if they are still owed, each in its own transaction; return how many were made."""
        from automation.events.delivering import deliver, load

        return deliver(load(delivery_ids, using=using), using=using)[0]

    def health(self, before: datetime) -> Health:
        """Count, on every database, what is owed since before this time, what has failed and what is parked."""
        from automation.events.health import health

        return sum(_each(None, lambda alias: health(before, using=alias)), Health())

    def next_due_at(self, *, using: str | None = None) -> datetime | None:
        """Return when the next thing will be due; None when nothing is waiting for a time."""
        times = _each(using, lambda alias: next_due(using=alias))
        return min((moment for moment in times if moment is not None), default=None)


def _each(only: str | None, do: Callable[[str], T]) -> Iterator[T]:
    """Do it on every database; one that fails does not stop the others, and is raised when they are done."""
    failed: Exception | None = None
    for alias in candidates(only=only):
        try:
            if is_served(alias, only=only):
                yield do(alias)
        except Exception as error:  # noqa: BLE001 - a database that is down may raise anything; raised below
            failed = failed or error
    if failed is not None:
        raise failed


event_processor = EventProcessor()
