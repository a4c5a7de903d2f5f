"""What a step led to, stored: its rows, its Context, the next state, and everything it asked for, in one commit."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from automation.workflows.authoring.results import Children, Fail, Goto, Wait
from automation.workflows.authoring.wakes import WakeKind
from automation.workflows.engine.buffer import Buffer
from automation.workflows.engine.claiming import Claim, Claimer, claim_length
from automation.workflows.engine.faults import fault
from automation.workflows.engine.invoke import Outcome
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.operating import Operator
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.engine.starting import Starter
from automation.workflows.errors import ClaimLost, StaleRun
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause
from automation.workflows.runs.decide import decide
from automation.workflows.runs.pausing import held_after
from automation.workflows.runs.transition import Transition, fold
from automation.workflows.runs.values import Run, WorkflowStatus

__all__ = ["Finish", "Finisher", "Turn", "is_ours"]

logger = logging.getLogger("automation.workflows")


@dataclass(slots=True)
class Turn:
    """How long this worker has been going on with one run."""

    began_at: datetime
    steps: int = 0

    def may_go_on(self, runtime: Runtime, run: Run) -> bool:
        """Return whether another step fits in before the run goes back to the queue."""
        policy, now = runtime.policy, runtime.now()
        is_late = run.deadline_at is not None and run.deadline_at <= now
        return self.steps < policy.steps_per_claim and now - self.began_at < policy.time_per_claim and not is_late


@dataclass(slots=True, kw_only=True)
class Finish:
    """The move of one attempt, and the claim with which this worker goes on, if it does."""

    transition: Transition
    claim: Claim | None = None


def is_ours(stored: Run | None, held: Run) -> bool:
    """Return whether a run that was moved under us is still under our claim: a request to pause does not end it.

    No two claims of one run share visit, attempts and losses: each end of a claim counts one of them up.
    """
    return (
        stored is not None
        and stored.status is WorkflowStatus.RUNNING
        and (stored.visit, stored.attempt, stored.lost_claims) == (held.visit, held.attempt, held.lost_claims)
    )


class Finisher:
    """Stores what attempts led to. Every method runs inside `storage.transaction()`."""

    def __init__(self, runtime: Runtime, mover: Mover, starter: Starter, operator: Operator, claimer: Claimer) -> None:
        self._runtime = runtime
        self._mover = mover
        self._starter = starter
        self._operator = operator
        self._claimer = claimer

    def returned(self, claim: Claim, outcome: Outcome, buffer: Buffer, turn: Turn, started_at: datetime) -> Finish:
        """Store a result, with everything the step asked for. Raises ClaimLost when the run has moved on."""
        result = outcome.result
        # Nothing is inserted: this asks whether the step has left its transaction whole, before any other statement.
        self._runtime.storage.insert(())
        if isinstance(result, Wait):
            # First of all locks: a delivery of this signal holds the same one before it touches any run.
            self._runtime.mailbox.lock(result.signal)
        # Read once, before anything is started: the new visit begins here, and so do the runs that the step starts.
        read = self._position(claim, outcome)
        self._starter.insert([*buffer.starts, *outcome.children], read)
        self._mover.post(buffer.signals)
        position = claim.run.visit_position if read is None else read

        def decided(run: Run) -> Finish:
            until = self._run_on_until(claim, result, turn, run)
            cause = causes.Returned(
                result=result, data=outcome.data, started_at=started_at, position=position, run_on_until=until
            )
            move = decide(run, cause, claim.definition, self._runtime.now(), outcome.children)
            if run.pause_requested:
                return Finish(transition=held_after(move, self._runtime.now()))
            if isinstance(result, Wait):
                return self._met(claim, move, turn, outcome)
            goes_on = replace(claim, run=move.after, merged=False)
            return Finish(transition=move, claim=goes_on if until else None)

        return self._stored(claim.run, decided, buffer)

    def ended(self, claim: Claim, cause: Cause) -> Run:
        """Store that an attempt ended otherwise: it raised, or was lost. Raises ClaimLost."""

        def decided(run: Run) -> Finish:
            move = decide(run, cause, claim.definition, self._runtime.now())
            return Finish(transition=held_after(move, self._runtime.now()))

        return self._stored(claim.run, decided, None).transition.after

    def not_begun(self, claim: Claim, cause: causes.CancelRequested | causes.Deferred) -> None:
        """Store that a start does not begin. Raises StaleRun when it was touched since: its event may have changed."""
        move = decide(claim.run, cause, claim.definition, self._runtime.now())
        fault("finish.before_apply")
        self._mover.apply([held_after(move, self._runtime.now())])
        fault("finish.before_commit")

    def _stored(self, held: Run, decided: Callable[[Run], Finish], buffer: Buffer | None) -> Finish:
        """Apply with compare-and-set; where only a person's flag came in between, decide again with it."""
        orders = [] if buffer is None else buffer.in_id_order()
        with self._mover.sparing(held.id) as reasons:
            # All runs in the order of their ids: two steps that order each other's runs about must not lock crosswise.
            self._operator.carry_out([order for order in orders if order.run_id < held.id])
            finish = self._until_fresh(held, decided)
            self._operator.carry_out([order for order in orders if order.run_id > held.id])
        if reasons and not finish.transition.after.status.is_terminal:
            # The step called off a run that takes this one along: what it did counts, and nothing follows.
            cause = causes.CancelRequested(reason=reasons[0])
            finish = Finish(transition=decide(finish.transition.after, cause, None, self._runtime.now()))
            self._mover.apply([finish.transition])
        fault("finish.before_commit")
        return finish

    def _until_fresh(self, held: Run, decided: Callable[[Run], Finish]) -> Finish:
        run: Run | None = held
        for _ in range(STALE_TRIES):
            if run is None or not is_ours(run, held):
                break
            finish = decided(run)
            fault("finish.before_apply")
            try:
                self._mover.apply([finish.transition])
            except StaleRun:
                run = self._runtime.storage.load(held.id)
            else:
                return finish
        else:
            logger.warning(
                "Run %s was touched by others each time that step %r was to be stored: what the step did is rolled "
                "back, and the run goes on when its claim ends.",
                held.id,
                held.current_step,
                extra={"run_id": str(held.id)},
            )
        raise ClaimLost(
            f"Run {held.id} moved on while step {held.current_step!r} was running: what the step did is rolled back."
        )

    def _position(self, claim: Claim, outcome: Outcome) -> int | None:
        """Read the mailbox only where the move begins a visit, or where the wait says `since="now"`."""
        result = outcome.result
        needs = isinstance(result, Goto | Children) or (isinstance(result, Wait) and result.since == "now")
        needs = needs or (isinstance(result, Fail) and claim.definition.on_fail is not None)
        return self._runtime.mailbox.position() if needs else None

    def _run_on_until(self, claim: Claim, result: object, turn: Turn, run: Run) -> datetime | None:
        if not isinstance(result, Goto) or run.pause_requested or not turn.may_go_on(self._runtime, run):
            return None
        return self._runtime.now() + claim_length(self._runtime, claim.definition.steps[result.step])

    def _met(self, claim: Claim, move: Transition, turn: Turn, outcome: Outcome) -> Finish:
        """End the wait at once where its signal was first. Both sides hold the lock of the signal's name."""
        wait = move.after.wait
        # With the lock held, no signal of this name can have got a place since the position was read: there is none.
        is_from_now = isinstance(outcome.result, Wait) and outcome.result.since == "now"
        first = () if wait is None or is_from_now else self._runtime.mailbox.matching(claim.run.id, wait, limit=1)
        signal = next(iter(first), None)
        if signal is None:
            _warn_of_mistake(claim, move, outcome)
            return Finish(transition=move)
        met = decide(move.after, causes.Signalled(signal=signal), claim.definition, self._runtime.now())
        if not turn.may_go_on(self._runtime, met.after):
            return Finish(transition=fold(move, met))
        taken, held = self._claimer.prepare(met.after)
        transition = fold(move, met, taken)
        return Finish(transition=transition, claim=None if held is None else replace(held, run=transition.after))


def _warn_of_mistake(claim: Claim, move: Transition, outcome: Outcome) -> None:
    """A step that waits again for the signal that has just woken it, with nothing changed, will do so for ever."""
    run, wake = claim.run, claim.run.wake
    if wake is None or wake.cause is not WakeKind.SIGNAL or move.after.wait is None:
        return
    is_renewed = (wake.signal, wake.asked) == (move.after.wait.signal, move.after.wait.key)
    if is_renewed and not claim.merged and run.data == outcome.data:
        logger.warning(
            "Step %r of %r was woken by signal %r and waits for it again with nothing changed. A woken run re-enters "
            "the step that waited: write wait(%r, then=self.next_step), or look at get_wake() first.",
            run.current_step,
            run.name,
            wake.signal,
            wake.signal,
            extra={"run_id": str(run.id)},
        )
