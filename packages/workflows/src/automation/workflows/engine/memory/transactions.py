"""Transactions over the tables: changes are private until the commit, and written rows are locked until then."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from types import MappingProxyType
from uuid import UUID

from automation.workflows.engine.memory.locks import Locks
from automation.workflows.engine.memory.tables import Changes, Tables
from automation.workflows.runs.values import Run, Signal

__all__ = ["Transaction", "Transactions", "call_after_commit"]

logger = logging.getLogger("automation.workflows")

_open: ContextVar[Mapping[int, "Transaction"]] = ContextVar("automation_memory", default=MappingProxyType({}))
"""By storage: the transaction that is open in this thread or task."""


class Transaction:
    """One transaction: reads see the committed rows with its own changes over them."""

    def __init__(self, tables: Tables, locks: Locks) -> None:
        self.tables = tables
        self.changes = Changes()
        self.actions: list[Callable[[], None]] = []
        self.thread = get_ident()
        self._locks = locks

    def lock(self, key: Hashable) -> None:
        """Hold a row, or a name, until the end."""
        self._locks.acquire(self, key)

    def run(self, run_id: UUID) -> Run | None:
        """Read a run."""
        return self.changes.runs.get(run_id) or self.tables.runs.get(run_id)

    def live(self) -> Iterator[Run]:
        """Read the runs that have not ended."""
        changed = self.changes.runs
        yield from (run for run in self.tables.live() if run.id not in changed)
        yield from (run for run in changed.values() if not run.status.is_terminal)

    def signal(self, signal_id: UUID) -> Signal | None:
        """Read a signal."""
        return self.changes.signals.get(signal_id) or self.tables.signals.get(signal_id)

    def has_consumed(self, run_id: UUID, signal_id: UUID) -> bool:
        """Return whether a run has consumed a signal."""
        receipt = (run_id, signal_id)
        return receipt in self.changes.receipts or receipt in self.tables.receipts

    def position(self) -> int:
        """Read the highest position."""
        return max(self.tables.position, self.changes.position or 0)


class Transactions:
    """Opens transactions, nested ones as savepoints."""

    def __init__(self, tables: Tables, locks: Locks) -> None:
        self._tables = tables
        self._locks = locks

    @property
    def current(self) -> Transaction | None:
        """The transaction that is open here, if one is."""
        return _open.get().get(id(self))

    @contextmanager
    def open(self) -> Iterator[Transaction]:
        """Open a transaction, or a savepoint inside one."""
        outer = self.current
        if outer is not None:
            with _savepoint(outer):
                yield outer
            return
        transaction = Transaction(self._tables, self._locks)
        token = _open.set({**_open.get(), id(self): transaction})
        try:
            try:
                yield transaction
                self.commit(transaction)
            finally:
                _open.reset(token)
                self._locks.release(transaction)
        except BaseException:
            transaction.actions.clear()
            raise
        _call_all(transaction.actions)

    @contextmanager
    def join(self) -> Iterator[Transaction]:
        """Take part in the transaction that is open, without a savepoint, or open one."""
        outer = self.current
        if outer is not None:
            yield outer
            return
        with self.open() as transaction:
            yield transaction

    def commit(self, transaction: Transaction) -> None:
        """Make the changes everybody's. A simulator loses the answer, or the worker, here."""
        with self._locks.guard:
            self._tables.commit(transaction.changes)


@contextmanager
def _savepoint(transaction: Transaction) -> Iterator[None]:
    changes, actions = transaction.changes.copy(), len(transaction.actions)
    try:
        yield
    except BaseException:
        transaction.changes = changes
        del transaction.actions[actions:]
        raise


def _call_all(actions: list[Callable[[], None]]) -> None:
    for action in actions:
        call_after_commit(action)


def call_after_commit(action: Callable[[], None]) -> None:
    """Call what was asked for after the commit. It cannot undo the commit, so it is logged and goes no further."""
    try:
        action()
    except Exception:
        logger.exception("An action after the commit raised.")
