"""Runs in memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from uuid import UUID

from automation.workflows.engine.memory.locks import Locks
from automation.workflows.engine.memory.mailbox import MemoryMailbox
from automation.workflows.engine.memory.plans import MemoryPlans
from automation.workflows.engine.memory.tables import Tables
from automation.workflows.engine.memory.transactions import Transaction, Transactions, call_after_commit
from automation.workflows.errors import StaleRun
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Attempt, Run, Signal, WorkflowStatus

__all__ = ["MemoryStorage"]


class MemoryStorage:
    """A Storage that lasts as long as its process. Safe between threads; READ COMMITTED, with row locks."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._locks = self._make_locks()
        self._transactions = self._make_transactions(self._tables, self._locks)
        self._mailbox = MemoryMailbox(self._join, lambda: self._transactions.current)
        self._plans = MemoryPlans(self._join, self.insert)

    @property
    def mailbox(self) -> MemoryMailbox:
        """The signals."""
        return self._mailbox

    @property
    def plans(self) -> MemoryPlans:
        """The reserved starts."""
        return self._plans

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction, or a savepoint inside one."""
        return self._transactions.open()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call `action` once the outermost transaction has committed; at once when there is none."""
        open_ = self._transactions.current
        if open_ is None:
            call_after_commit(action)
        else:
            open_.actions.append(action)

    def insert(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Store new runs; return the stored one in place of one that is there already."""
        with self._join() as open_:
            return [self._inserted(open_, run) for run in runs]

    def load(self, run_id: UUID) -> Run | None:
        """Return the run as stored now."""
        with self._join() as open_:
            return open_.run(run_id)

    def apply(self, transitions: Sequence[Transition]) -> None:
        """Store moves, all or none. Raises StaleRun."""
        with self._join() as open_:
            for transition in transitions:
                self._check(open_, transition)
            for transition in transitions:
                open_.changes.add(transition)

    def due(self, now: datetime, limit: int) -> Sequence[Run]:
        """Return live runs with `next_at <= now`, oldest first."""
        with self._join() as open_, self._locks.guard:
            found = [run for run in open_.live() if run.next_at is not None and run.next_at <= now]
        return sorted(found, key=_by_time)[:limit]

    def upcoming(self, after: datetime, until: datetime, limit: int) -> Sequence[tuple[UUID, datetime]]:
        """Return WAITING runs with `after < next_at <= until`, oldest first."""
        with self._join() as open_, self._locks.guard:
            found = [
                run
                for run in open_.live()
                if run.status is WorkflowStatus.WAITING and run.next_at is not None and after < run.next_at <= until
            ]
        ordered = sorted(found, key=_by_time)[:limit]
        return [(run.id, run.next_at) for run in ordered if run.next_at is not None]

    def runs(self) -> Sequence[Run]:
        """Return every run, in the order of creation (for people and tests)."""
        with self._locks.guard:
            return list(self._tables.runs.values())

    def attempts(self, run_id: UUID) -> Sequence[Attempt]:
        """Return a run's history (for people and tests)."""
        with self._locks.guard:
            return list(self._tables.attempts.get(run_id, ()))

    def signals(self) -> Sequence[Signal]:
        """Return every signal, in the order of sending (for people and tests)."""
        with self._locks.guard:
            return list(self._tables.signals.values())

    def receipts(self) -> Sequence[tuple[UUID, UUID]]:
        """Return which run has consumed which signal, by their ids, in that order (for people and tests)."""
        with self._locks.guard:
            return list(self._tables.receipts)

    def _make_locks(self) -> Locks:
        return Locks()

    def _make_transactions(self, tables: Tables, locks: Locks) -> Transactions:
        return Transactions(tables, locks)

    def _join(self) -> AbstractContextManager[Transaction]:
        return self._transactions.join()

    def _inserted(self, open_: Transaction, run: Run) -> Run:
        stored = self._stored(open_, run)
        if stored is None:
            open_.lock(("run", run.id))
            open_.changes.runs[run.id] = run
        return stored or run

    def _stored(self, open_: Transaction, run: Run) -> Run | None:
        """Return the run that holds this one's key or occurrence; whoever is about to take either is waited for."""
        found: UUID | None = run.id if open_.run(run.id) is not None else None
        if run.run_key is not None:
            open_.lock(("key", run.name, run.run_key))
            found = found or self._tables.with_key(run.name, run.run_key) or _own(open_, run)
        if run.occurrence is not None:
            open_.lock(("occurrence", run.occurrence.id, run.occurrence.generation, run.name))
            found = found or self._tables.of_occurrence(run.occurrence, run.name) or _own(open_, run)
        return None if found is None else open_.run(found)

    def _check(self, open_: Transaction, transition: Transition) -> None:
        before = transition.before
        open_.lock(("run", before.id))
        stored = open_.run(before.id)
        if stored is None or stored.revision != before.revision:
            raise StaleRun(before.id, before.revision)
        if transition.consumed is not None and open_.has_consumed(before.id, transition.consumed):
            raise StaleRun(before.id, before.revision)


def _own(open_: Transaction, run: Run) -> UUID | None:
    """Return the run of this very transaction that holds the key or the occurrence."""
    for other in open_.changes.runs.values():
        if other.name == run.name and _is_same(other, run):
            return other.id
    return None


def _is_same(other: Run, run: Run) -> bool:
    if run.run_key is not None and other.run_key == run.run_key:
        return True
    one, another = run.occurrence, other.occurrence
    return one is not None and another is not None and (one.id, one.generation) == (another.id, another.generation)


def _by_time(run: Run) -> tuple[datetime, UUID]:
    assert run.next_at is not None
    return run.next_at, run.id
