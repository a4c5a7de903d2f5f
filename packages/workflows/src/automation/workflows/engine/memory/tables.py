"""What is committed, with the indexes by which live work is found without a look at what has ended."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Attempt, Occurrence, Run, Signal, WorkflowStatus

__all__ = ["Changes", "Tables"]


@dataclass(slots=True)
class Changes:
    """What one transaction has written and nobody else sees yet."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    signals: dict[UUID, Signal] = field(default_factory=dict)
    """New ones, and those that got their position."""
    finished: set[UUID] = field(default_factory=set)
    """Signals whose delivery is done."""
    receipts: dict[tuple[UUID, UUID], None] = field(default_factory=dict)
    """(run, signal) pairs: consumed, in that order."""
    position: int | None = None

    def copy(self) -> "Changes":
        """Return a copy to come back to when an inner transaction fails."""
        return Changes(
            runs=dict(self.runs),
            attempts=list(self.attempts),
            signals=dict(self.signals),
            finished=set(self.finished),
            receipts=dict(self.receipts),
            position=self.position,
        )

    def add(self, transition: Transition) -> None:
        """Write a move."""
        self.runs[transition.after.id] = transition.after
        if transition.attempt is not None:
            self.attempts.append(transition.attempt)
        if transition.consumed is not None:
            self.receipts[transition.after.id, transition.consumed] = None


@dataclass(slots=True)
class Tables:
    """The committed rows."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    attempts: dict[UUID, list[Attempt]] = field(default_factory=dict)
    signals: dict[UUID, Signal] = field(default_factory=dict)
    undelivered: dict[UUID, None] = field(default_factory=dict)
    """In the order of sending."""
    receipts: dict[tuple[UUID, UUID], None] = field(default_factory=dict)
    position: int = 0
    _live: dict[UUID, None] = field(default_factory=dict)
    _waiting: dict[str, dict[UUID, None]] = field(default_factory=dict)
    _placed: dict[str, list[tuple[int, UUID]]] = field(default_factory=dict)
    """By name: positions and signals, in the order of positions."""
    _keys: dict[tuple[str, str], UUID] = field(default_factory=dict)
    _occurrences: dict[tuple[str, int, str], UUID] = field(default_factory=dict)

    def commit(self, changes: Changes) -> None:
        """Make a transaction's changes everybody's."""
        for run in changes.runs.values():
            self._put(run)
        for attempt in changes.attempts:
            self.attempts.setdefault(attempt.run_id, []).append(attempt)
        for signal in changes.signals.values():
            self._keep(signal)
        for signal_id in changes.finished:
            self.undelivered.pop(signal_id, None)
        self.receipts |= changes.receipts
        self.position = max(self.position, changes.position or 0)

    def live(self) -> Iterator[Run]:
        """Return the runs that have not ended."""
        return (self.runs[run_id] for run_id in list(self._live))

    def waiting(self, signal_name: str) -> Iterable[UUID]:
        """Return the runs that wait for a signal of this name."""
        return list(self._waiting.get(signal_name, ()))

    def placed(self, signal_name: str, after: int) -> Iterator[Signal]:
        """Return the delivered signals of this name with a position beyond `after`, in that order."""
        known = self._placed.get(signal_name, [])
        start = bisect_right(known, after, key=lambda entry: entry[0])
        return (self.signals[signal_id] for _, signal_id in known[start:])

    def with_key(self, name: str, run_key: str) -> UUID | None:
        """Return the run that holds a key."""
        return self._keys.get((name, run_key))

    def of_occurrence(self, occurrence: Occurrence, name: str) -> UUID | None:
        """Return the run of a workflow for an occurrence."""
        return self._occurrences.get((occurrence.id, occurrence.generation, name))

    def _put(self, run: Run) -> None:
        before = self.runs.get(run.id)
        if before is not None and before.wait is not None:
            self._waiting.get(before.wait.signal, {}).pop(run.id, None)
        if run.wait is not None and run.wait.signal and run.status is WorkflowStatus.WAITING:
            self._waiting.setdefault(run.wait.signal, {})[run.id] = None
        if run.status.is_terminal:
            self._live.pop(run.id, None)
        else:
            self._live[run.id] = None
        if run.run_key is not None:
            self._keys[run.name, run.run_key] = run.id
        if run.occurrence is not None:
            self._occurrences[run.occurrence.id, run.occurrence.generation, run.name] = run.id
        self.runs[run.id] = run

    def _keep(self, signal: Signal) -> None:
        before = self.signals.get(signal.id)
        self.signals[signal.id] = signal
        if before is None:
            self.undelivered[signal.id] = None
        if signal.position is not None and (before is None or before.position is None):
            self._placed.setdefault(signal.name, []).append((signal.position, signal.id))
