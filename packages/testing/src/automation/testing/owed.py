"""What the stored rows say is due: the truth that the queue only hints at."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from automation.testing.installed import database_is_open, events_aliases, events_models, workflows_wiring

__all__ = ["Look", "Owed"]

_FAR = timedelta(days=36500)
_PAGE = 100
"""Rows looked at together; more than this many can only be in the way when they are due and cannot move."""
_ALL = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was due at one moment, and when something will be."""

    due: frozenset[Any] = frozenset()
    """Names what is due, with how it stands: the same set twice means that nothing moved in between."""
    next_at: datetime | None = None
    """The earliest later moment at which a row is due."""


class Owed:
    """Reads what is due now, and when something will be, of runs, signals, events and deliveries."""

    @property
    def sees_events(self) -> bool:
        """Events are installed, and the test may use the database."""
        return events_models() is not None and database_is_open()

    @property
    def sees_runs(self) -> bool:
        """Workflows have a storage, and the test may use it."""
        storage = self._storage
        return storage is not None and (not hasattr(storage, "alias") or database_is_open())

    def look(self) -> Look:
        """Look at everything once."""
        now = datetime.now(UTC)
        rows = [*self._runs(now), *self._events()]
        later = [next_at for next_at, _ in rows if next_at > now]
        due = {row for next_at, row in rows if next_at <= now}
        return Look(due=frozenset(due | self._signals()), next_at=min(later, default=None))

    def next_sleeper(self, after: datetime) -> Any:
        """Return the run that is the first, later than `after`, to wake from a sleep or to retry; or None."""
        if not self.sees_runs:
            return None
        live = self._storage.due(after + _FAR, _ALL)
        asleep = (run for run in live if _sleeps(run) and run.wake_at > after)
        return min(asleep, key=lambda run: run.wake_at, default=None)

    def ready(self) -> list[UUID]:
        """Return the runs that may be worked on now: there is a message for each in the project's own queue."""
        if not self.sees_runs:
            return []
        return [run.id for run in self._storage.due(datetime.now(UTC) + _FAR, _ALL) if run.status == "ready"]

    @property
    def _storage(self) -> Any:
        wiring = workflows_wiring()
        return None if wiring is None else wiring.storage

    def _runs(self, now: datetime) -> Iterator[tuple[datetime, Any]]:
        if not self.sees_runs:
            return
        limit = _PAGE
        while True:
            runs = self._storage.due(now + _FAR, limit)
            if len(runs) < limit or runs[-1].next_at > now:
                break
            limit *= 10
        yield from ((run.next_at, (run.id, run.revision, run.next_at)) for run in runs)

    def _signals(self) -> set[Any]:
        return {signal.id for signal in self._storage.mailbox.undelivered(_PAGE)} if self.sees_runs else set()

    def _events(self) -> Iterator[tuple[datetime, Any]]:
        if not self.sees_events:
            return
        for rows in _event_rows():
            waiting = rows.filter(status="pending", next_at__isnull=False).order_by("next_at", "pk")
            known = [(next_at, (key, next_at)) for key, next_at in waiting.values_list("pk", "next_at")[:_PAGE]]
            yield from known
            if len(known) == _PAGE and known[-1][0] <= datetime.now(UTC):
                later = waiting.filter(next_at__gt=datetime.now(UTC)).values_list("pk", "next_at")[:1]
                yield from ((next_at, (key, next_at)) for key, next_at in later)


def _sleeps(run: Any) -> bool:
    """Return whether a run that has begun waits for a time and for nothing else."""
    return run.status == "waiting" and run.data is not None and run.wake_at and not (run.wait and run.wait.signal)


def _event_rows() -> Iterator[Any]:
    """Yield the tables of events that have a due time, on every database that has them, as querysets."""
    models = events_models()
    assert models is not None, "asked only where events are installed"
    for alias in events_aliases():
        yield models.Event._base_manager.using(alias)
        yield models.EventDelivery._base_manager.using(alias)
