"""What people do to runs: cancel, pause, resume, retry."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from automation.workflows.authoring.targets import unknown_step
from automation.workflows.engine.buffer import Order
from automation.workflows.engine.deadlines import past_deadline
from automation.workflows.engine.errors_text import bounded
from automation.workflows.engine.fitting import definition_of
from automation.workflows.engine.hearing import awaited
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.engine.scope import running_scope
from automation.workflows.errors import IllegalTransition, StaleRun, UnknownRun, UsageError
from automation.workflows.runs import causes
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import Transition, fold
from automation.workflows.runs.values import Pause, Run, StandingWait, WorkflowStatus

__all__ = ["Operator"]

logger = logging.getLogger("automation.workflows")

REASON_LENGTH = 1000
"""Characters of a person's reason that are kept: it is shown in one line, and logged."""


class Operator:
    """Moves runs by order of a person or of another run's step."""

    def __init__(self, runtime: Runtime, mover: Mover) -> None:
        self._runtime = runtime
        self._mover = mover

    def order(self, order: Order) -> bool:
        """Do it in the caller's transaction, or, inside a step, at its commit; return whether it took effect."""
        policy = self._runtime.policy
        order = replace(order, reason=bounded(order.reason, REASON_LENGTH, policy.redact))
        scope = running_scope()
        if scope is not None:
            scope.buffer.order(order)
            return True
        with self._runtime.storage.transaction():
            return self._until_fresh(order)

    def carry_out(self, orders: Sequence[Order]) -> None:
        """Do what a step ordered, inside its commit. What the other run is past by now is dropped, and logged."""
        for order in orders:
            try:
                self._until_fresh(order)
            except (IllegalTransition, UnknownRun, UsageError) as error:
                logger.warning("A step's request was dropped: %s", error, extra={"run_id": str(order.run_id)})

    def _until_fresh(self, order: Order) -> bool:
        """Do it on the run as it is; each stale try means that somebody else moved it."""
        for _ in range(STALE_TRIES):
            try:
                return self._do(order)
            except StaleRun:
                continue
        raise StaleRun(order.run_id)

    def _do(self, order: Order) -> bool:
        run = self._runtime.storage.load(order.run_id)
        if run is None:
            return self._unknown(order)
        if order.verb in {"cancel", "pause"} and run.status.is_terminal:
            return False
        self._move(order, run)
        return True

    def _move(self, order: Order, run: Run) -> None:
        match order.verb:
            case "cancel":
                self._mover.move(run, causes.CancelRequested(reason=order.reason))
            case "pause":
                self._mover.move(run, causes.PauseRequested(reason=order.reason))
            case "resume":
                self._check_may_resume(run)
                self.let_go_on(run)
            case "retry":
                self._mover.apply([self._retried(run, order.step)])

    def let_go_on(self, run: Run) -> None:
        """End the pause; what came while it lasted counts now: a deadline, a signal, the ends of children."""
        self._mover.apply([self._resumption(run)])

    def _unknown(self, order: Order) -> bool:
        if order.verb == "cancel":
            return False
        raise UnknownRun(f"There is no run {order.run_id}. It may have been removed after its retention.")

    def _retried(self, run: Run, step: str | None) -> Transition:
        definition = definition_of(self._runtime.registry, run)
        if definition is not None and step is not None and (step not in definition.steps or step == definition.on_fail):
            raise UsageError(f"retry(from_step=...) leads to {unknown_step(definition, step)}")
        cause = causes.RetryRequested(step=step, position=self._runtime.mailbox.position())
        return decide(run, cause, definition, self._runtime.now())

    def _check_may_resume(self, run: Run) -> None:
        if run.pause in {Pause.MISSING, Pause.CONTEXT}:
            raise IllegalTransition(
                f"Run {run.id} is paused because of its code ({run.why}). It goes on by itself when the code is back."
            )

        if run.status is WorkflowStatus.RUNNING and not run.pause_requested:
            raise IllegalTransition(f"Run {run.id} is not paused: a worker is running it, and nobody asked it to stop.")

    def _resumption(self, run: Run) -> Transition:
        """Return the move out of PAUSED, with what has happened meanwhile folded in."""
        now = self._runtime.now()
        moves = [decide(run, causes.Resumed(), None, now)]
        resumed = moves[0].after
        if resumed.status is not WorkflowStatus.RUNNING and (over := past_deadline(self._runtime, resumed)):
            return fold(moves[0], over)
        if resumed.status is not WorkflowStatus.WAITING:
            return moves[0]
        if resumed.wait is not None and resumed.wait.signal:
            moves += self._signals(resumed, resumed.wait)
        waiting = moves[-1].after
        if waiting.status is WorkflowStatus.WAITING and waiting.next_at is not None and waiting.next_at <= now:
            moves.append(self._due(waiting))
        return fold(*moves)

    def _due(self, run: Run) -> Transition:
        return decide(run, causes.Due(position=self._runtime.mailbox.position()), None, self._runtime.now())

    def _signals(self, run: Run, wait: StandingWait) -> list[Transition]:
        """Look for what came while the run was paused, holding the lock of its name."""
        self._runtime.mailbox.lock(wait.signal)
        cause = awaited(self._runtime, run, wait)
        definition = definition_of(self._runtime.registry, run)
        return [] if cause is None else [decide(run, cause, definition, self._runtime.now())]
