"""MemoryStorage whose every statement and commit is a point, and which keeps a ledger in its transactions."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from automation.workflows.engine.memory.locks import Locks, Owner
from automation.workflows.engine.memory.mailbox import MemoryMailbox
from automation.workflows.engine.memory.storage import MemoryStorage
from automation.workflows.engine.memory.tables import Changes, Tables
from automation.workflows.engine.memory.transactions import Transaction, Transactions
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Run, Signal, StandingWait
from tests.simulation.scheduler import Scheduler

__all__ = ["SimStorage"]


class SimLocks(Locks):
    """Whoever has to wait gives way to the scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def wait(self, holder: Owner) -> None:
        self._scheduler.block()

    def release(self, owner: object) -> None:
        super().release(owner)
        self._scheduler.unblock_all()


class SimTransactions(Transactions):
    """The commit is two points: before it, and between it and its answer."""

    def __init__(self, tables: Tables, locks: Locks, storage: "SimStorage") -> None:
        super().__init__(tables, locks)
        self._storage = storage

    def commit(self, transaction: Transaction) -> None:
        if not is_writing(transaction):
            return
        self._storage.scheduler.point("commit")
        self._storage.before_commit(transaction)
        super().commit(transaction)
        self._storage.committed(transaction)
        self._storage.scheduler.point("committed")


class SimMailbox(MemoryMailbox):
    """Signals under the scheduler."""

    scheduler: Scheduler

    def post(self, signals: Sequence[Signal]) -> None:
        self.scheduler.point("post")
        super().post(signals)

    def lock(self, name: str) -> None:
        self.scheduler.point("lock name")
        super().lock(name)
        self.scheduler.point("name locked")

    def matching(self, run_id: UUID, wait: StandingWait, *, limit: int | None = None) -> Sequence[Signal]:
        self.scheduler.point("matching")
        return super().matching(run_id, wait, limit=limit)

    def undelivered(self, limit: int, *, name: str | None = None) -> Sequence[Signal]:
        self.scheduler.point("undelivered")
        return super().undelivered(limit, name=name)

    def waiters(self, signal: Signal, limit: int) -> Sequence[Run]:
        self.scheduler.point("waiters")
        return super().waiters(signal, limit)

    def settle(self, signals: Sequence[Signal], *, finished: bool) -> Sequence[Signal]:
        self.scheduler.point("settle")
        return super().settle(signals, finished=finished)


class SimStorage(MemoryStorage):
    """A database under the scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.ledger: list[tuple[UUID, int, str]] = []
        """Rows of the steps' own: (run, visit, step)."""
        self.events: dict[str, Any] = {}
        """Rows of the user's own: events, by name."""
        self.on_commit: list[Callable[[dict[UUID, Run], Changes], None]] = []
        """Told the runs as they were, and what changes."""
        super().__init__()
        self._mailbox = SimMailbox(self._join, lambda: self._transactions.current)
        self._mailbox.scheduler = scheduler

    def note(self, entry: tuple[UUID, int, str]) -> None:
        """Write a row of a step's own into its transaction."""
        open_: Any = self._transactions.current
        if open_ is None:
            self.ledger.append(entry)
        else:
            open_.__dict__.setdefault("ledger", []).append(entry)

    def event(self, name: str) -> Any:
        """Read an event."""
        open_: Any = self._transactions.current
        own = {} if open_ is None else open_.__dict__.get("events", {})
        return own.get(name) or self.events[name]

    def lock_event(self, name: str) -> Any:
        """Read an event that nobody else may change until the transaction ends."""
        self.scheduler.point("lock event")
        open_: Any = self._transactions.current
        open_.lock(("event", name))
        return self.event(name)

    def put_event(self, event: Any, *, new: bool = False) -> bool:
        """Write an event; a new one only where there is none."""
        open_: Any = self._transactions.current
        open_.lock(("event", event.occurrence.id))
        if new and event.occurrence.id in self.events:
            return False
        open_.__dict__.setdefault("events", {})[event.occurrence.id] = event
        return True

    def before_commit(self, transaction: Transaction) -> None:
        before = {
            run_id: self._tables.runs[run_id] for run_id in transaction.changes.runs if run_id in self._tables.runs
        }
        try:
            for check in self.on_commit:
                check(before, transaction.changes)
        except AssertionError as broken:
            self.scheduler.verdict = broken
            raise

    def committed(self, transaction: Transaction) -> None:
        self.ledger += transaction.__dict__.get("ledger", ())
        self.events.update(transaction.__dict__.get("events", {}))

    def insert(self, runs: Sequence[Run]) -> Sequence[Run]:
        self.scheduler.point("insert")
        return super().insert(runs)

    def load(self, run_id: UUID) -> Run | None:
        self.scheduler.point("load")
        return super().load(run_id)

    def apply(self, transitions: Sequence[Transition]) -> None:
        self.scheduler.point("apply")
        super().apply(transitions)

    def due(self, now: datetime, limit: int) -> Sequence[Run]:
        self.scheduler.point("due")
        return super().due(now, limit)

    def _make_locks(self) -> Locks:
        return SimLocks(self.scheduler)

    def _make_transactions(self, tables: Tables, locks: Locks) -> Transactions:
        return SimTransactions(tables, locks, self)


def is_writing(transaction: Transaction) -> bool:
    """Tell a transaction that stores something from one that only reads."""
    changes = transaction.changes
    own = transaction.__dict__
    return bool(
        changes.runs
        or changes.signals
        or changes.finished
        or changes.receipts
        or own.get("ledger")
        or own.get("events")
    )
