"""The one write path: apply with compare-and-set, then what the moves owe, all in the transaction that is open."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.errors import StaleRun, UnreadableRun
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import CancelRuns, Enqueue, Send, Transition
from automation.workflows.runs.values import Run, Signal, WorkflowStatus

__all__ = ["Mover"]

logger = logging.getLogger("automation.workflows")

_spared: ContextVar[tuple[UUID | None, list[str]]] = ContextVar("automation_spared", default=(None, []))

_LEVELS = {WorkflowStatus.COMPLETED: logging.INFO, WorkflowStatus.CANCELLED: logging.INFO}


class Mover:
    """Applies transitions and does what they owe."""

    def __init__(self, runtime: Runtime, hints: Hints) -> None:
        self._runtime = runtime
        self._hints = hints
        self.announce: Callable[[Iterable[str]], None] = lambda names: None
        """Set by the engine: has signals delivered after the commit."""

    def move(self, run: Run, cause: Cause, definition: WorkflowDefinition | None = None) -> Run:
        """Decide one move and apply it; return the run after. Raises StaleRun and IllegalTransition."""
        transition = decide(run, cause, definition, self._runtime.now())
        self.apply([transition])
        return transition.after

    def apply(self, transitions: Sequence[Transition]) -> None:
        """Store transitions and do what they owe. Raises StaleRun. Call inside `storage.transaction()`."""
        if not transitions:
            return
        self._do([effect for transition in self._stored(transitions) for effect in transition.effects])

    def post(self, signals: Sequence[Signal]) -> None:
        """Store signals and have them delivered after the commit."""
        if signals:
            self._runtime.mailbox.post(signals)
            self.announce({signal.name: None for signal in signals})

    @contextmanager
    def sparing(self, run_id: UUID) -> Iterator[list[str]]:
        """Leave one run out of what is cancelled inside the block; give the reasons why it would have been.

        For a step that calls off its own parent: its run ends by the step's own move, not under its hands.
        """
        reasons: list[str] = []
        token = _spared.set((run_id, reasons))
        try:
            yield reasons
        finally:
            _spared.reset(token)

    def _stored(self, transitions: Sequence[Transition]) -> Sequence[Transition]:
        """Store moves, all or none, in the order of ids, in which everybody locks runs."""
        ordered = sorted(transitions, key=lambda transition: transition.before.id)
        self._runtime.storage.apply(ordered)
        for transition in ordered:
            _log(transition)
        return ordered

    def _cancel(self, orders: Sequence[CancelRuns]) -> None:
        """Cancel runs with their children, a generation at a time: a family may be large, and deep.

        None of them tells its parent that it has ended: that is the one that called it off.
        """
        while orders:
            reasons = {run_id: order.reason for order in orders for run_id in order.run_ids}
            moves = self._cancelled(reasons)
            orders = [effect for move in moves for effect in move.effects if isinstance(effect, CancelRuns)]

    def _cancelled(self, reasons: Mapping[UUID, str]) -> Sequence[Transition]:
        """Cancel those that have not ended, together; one that was moved meanwhile by itself."""
        spared, noted = _spared.get()
        noted += [reason for run_id, reason in reasons.items() if run_id == spared]
        moves = [move for run_id, reason in reasons.items() if run_id != spared and (move := self._end(run_id, reason))]
        alone: list[Transition] = []
        while moves:
            try:
                return [*alone, *self._stored(moves)]
            except StaleRun as stale:
                moves = [move for move in moves if move.before.id != stale.run_id]
                alone += self._cancelled_alone(stale.run_id, reasons[stale.run_id])
        return alone

    def _cancelled_alone(self, run_id: UUID, reason: str) -> Sequence[Transition]:
        for _ in range(STALE_TRIES):
            move = self._end(run_id, reason)
            if move is None:
                return []
            try:
                return self._stored([move])
            except StaleRun:
                continue
        raise StaleRun(run_id)

    def _end(self, run_id: UUID, reason: str) -> Transition | None:
        """Decide that a run is cancelled; None where it has ended already."""
        try:
            run = self._runtime.storage.load(run_id)
        except UnreadableRun as unreadable:
            # It is held where it stands; whoever ends, and takes its family along, must not be held with it.
            logger.error("%s It was to be cancelled: %s.", unreadable, reason, extra={"run_id": str(run_id)})
            return None
        if run is None or run.status.is_terminal:
            return None
        return decide(run, causes.CancelRequested(reason=reason), None, self._runtime.now())

    def _do(self, effects: Sequence[CancelRuns | Send | Enqueue]) -> None:
        self._cancel([effect for effect in effects if isinstance(effect, CancelRuns)])
        self.post([effect.signal for effect in effects if isinstance(effect, Send)])
        hints = [effect for effect in effects if isinstance(effect, Enqueue)]
        self._hints.give([hint.run_id for hint in hints if hint.run_after is None])
        for hint in hints:
            if hint.run_after is not None:
                self._hints.give([hint.run_id], hint.run_after)


def _log(transition: Transition) -> None:
    """One line per stored move; this is the only place that logs a run's way."""
    before, after = transition.before, transition.after
    level = _LEVELS.get(after.status, logging.DEBUG)
    if "Retrying" in transition.cause or "Lost" in transition.cause:
        level = logging.WARNING
    if after.status is WorkflowStatus.FAILED:
        level = logging.ERROR
    if not logger.isEnabledFor(level):
        return
    logger.log(
        level,
        "%s %s at %s: %s, %s to %s%s",
        after.name,
        after.id,
        before.current_step,
        transition.cause,
        before.status.value,
        after.status.value,
        f" ({after.error.partition(chr(10))[0]})" if level >= logging.ERROR else "",
        extra={"run_id": str(after.id), "revision": after.revision, "cause": transition.cause},
    )
