"""Stand-ins for the worker's side of events and workflows: they remember what was asked, and raise when told to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from automation.events.ports import Health


class FakeWorker:
    """The engine, as tasks see it."""

    def __init__(self) -> None:
        self.executed: list[tuple[str, str | None]] = []
        self.sweeps = 0
        self.due = 0
        """How many runs a sweep will find."""
        self.raises: BaseException | None = None

    def execute_step(self, run_id: UUID | str, step_name: str | None = None) -> None:
        self.executed.append((str(run_id), step_name))
        if self.raises is not None:
            raise self.raises

    def process_scheduled(self, limit: int = 1000, *, stop: Callable[[], bool] = lambda: False) -> Mapping[str, Any]:
        self.sweeps += 1
        woken = 0
        while self.due and woken < limit and not stop():
            self.due, woken = self.due - 1, woken + 1
        return {"processed_at": datetime.now(UTC), "woken": woken, "more": self.due > 0}


class FakeProcessor:
    """The event processor, as tasks see it."""

    def __init__(self) -> None:
        self.polls: list[int] = []
        self.asks = 0
        """How many callbacks a poll will call, and so ask whether to stop."""
        self.delivered: list[tuple[str, list[UUID]]] = []
        self.cleaned: list[int] = []

    def process_due_events(
        self, lookback_hours: int = 24, *, stop: Callable[[], bool] = lambda: False
    ) -> Mapping[str, Any]:
        self.polls.append(lookback_hours)
        while self.asks and not stop():
            self.asks -= 1
        return {"due_events_found": 0, "events_processed": 0, "timestamp": "now"}

    def cleanup_old_events(self, days_old: int = 30) -> Mapping[str, Any]:
        self.cleaned.append(days_old)
        return {"deleted_count": 0}

    def health(self, before: datetime) -> Health:
        from automation.events.services import event_processor  # models: not before the apps are ready

        return event_processor.health(before)

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> int:
        self.delivered.append((using, list(delivery_ids)))
        return len(delivery_ids)


class FakeStorage:
    """Just enough of a Storage for an executor: where it is, and how to follow its commit."""

    def __init__(self, alias: str = "default") -> None:
        self.alias = alias

    def after_commit(self, action: Callable[[], None]) -> None:
        partial(transaction.on_commit, using=self.alias, robust=True)(action)
