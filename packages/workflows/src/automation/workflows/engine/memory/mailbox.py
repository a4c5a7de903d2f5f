"""Signals in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from uuid import UUID

from automation.workflows.engine.memory.transactions import Transaction
from automation.workflows.errors import UsageError
from automation.workflows.runs.matching import matches
from automation.workflows.runs.values import Run, Signal, StandingWait, WorkflowStatus

__all__ = ["MemoryMailbox"]

_POSITIONS = "positions"


class MemoryMailbox:
    """The Mailbox of MemoryStorage: see the port for what is promised."""

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Transaction]],
        current: Callable[[], Transaction | None],
    ) -> None:
        self._transaction = transaction
        self._current = current

    def post(self, signals: Sequence[Signal]) -> None:
        """Store signals, undelivered, in the order given."""
        with self._transaction() as open_:
            for signal in signals:
                open_.lock(("signal", signal.id))
                if open_.signal(signal.id) is None:
                    open_.changes.signals[signal.id] = signal

    def position(self) -> int:
        """Return the highest position allotted so far."""
        with self._transaction() as open_:
            return open_.position()

    def lock(self, name: str) -> None:
        """Hold a signal's name until the transaction ends."""
        open_ = self._current()
        if open_ is None:
            raise UsageError(f"Signal name {name!r} can only be locked inside storage.transaction().")
        open_.lock(("name", name))

    def matching(self, run_id: UUID, wait: StandingWait, *, limit: int | None = None) -> Sequence[Signal]:
        """Return the delivered signals that end the wait, by position."""
        after = min(wait.broadcasts_after, wait.addressed_after, wait.run_after)
        with self._transaction() as open_:
            placed = (signal for signal in _placed(open_, wait.signal, after) if signal.run_id in {None, run_id})
            unheard = (signal for signal in placed if not open_.has_consumed(run_id, signal.id))
            return list(islice((signal for signal in unheard if matches(signal, wait)), limit))

    def undelivered(self, limit: int, *, name: str | None = None) -> Sequence[Signal]:
        """Return signals whose delivery is not finished, in the order of sending."""
        with self._transaction() as open_:
            found = []
            for signal in _undelivered(open_):
                if name is None or signal.name == name:
                    found.append(signal)
                if len(found) >= limit:
                    break
            return found

    def waiters(self, signal: Signal, limit: int) -> Sequence[Run]:
        """Return runs whose wait this signal ends, each locked and read again under its lock."""
        found: list[Run] = []
        with self._transaction() as open_:
            for run_id in sorted(_candidates(open_, signal)):
                if len(found) >= limit:
                    break
                if not _waits_for(open_, run_id, signal):
                    continue
                open_.lock(("run", run_id))
                run = open_.run(run_id)
                if run is not None and _waits_for(open_, run_id, signal):
                    found.append(run)
        return found

    def settle(self, signals: Sequence[Signal], *, finished: bool) -> Sequence[Signal]:
        """Allot missing positions, under a lock that makes them grow with commits."""
        with self._transaction() as open_:
            return [_settled(open_, signal, finished=finished) for signal in signals]


def _settled(open_: Transaction, signal: Signal, *, finished: bool) -> Signal:
    stored = open_.signal(signal.id) or signal
    if stored.position is None:
        open_.lock(_POSITIONS)
        open_.changes.position = open_.position() + 1
        stored = replace(stored, position=open_.changes.position)
        open_.changes.signals[stored.id] = stored
    if finished:
        open_.changes.finished.add(stored.id)
    return stored


def _placed(open_: Transaction, name: str, after: int) -> Iterator[Signal]:
    changed = open_.changes.signals
    yield from (signal for signal in open_.tables.placed(name, after) if signal.id not in changed)
    own = [signal for signal in changed.values() if signal.name == name and (signal.position or 0) > after]
    yield from sorted(own, key=lambda signal: signal.position or 0)


def _undelivered(open_: Transaction) -> Iterator[Signal]:
    changes = open_.changes
    for signal_id in list(open_.tables.undelivered):
        if signal_id not in changes.finished and (signal := open_.signal(signal_id)) is not None:
            yield signal
    for signal_id, signal in changes.signals.items():
        if signal_id not in open_.tables.undelivered and signal_id not in changes.finished:
            yield signal


def _candidates(open_: Transaction, signal: Signal) -> set[UUID]:
    if signal.run_id is not None:
        return {signal.run_id}
    own = {run.id for run in open_.changes.runs.values() if run.wait is not None and run.wait.signal == signal.name}
    return own | set(open_.tables.waiting(signal.name))


def _waits_for(open_: Transaction, run_id: UUID, signal: Signal) -> bool:
    run = open_.run(run_id)
    if run is None or run.status is not WorkflowStatus.WAITING or run.wait is None:
        return False
    return matches(signal, run.wait) and not open_.has_consumed(run_id, signal.id)
