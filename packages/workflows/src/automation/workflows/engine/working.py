"""A worker's way with one run: claim, then invoke, decide, apply, step after step, until its next pause."""

import logging
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from automation.workflows.authoring.context import scope_variable
from automation.workflows.authoring.contexts import load
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.engine.beginning import Begun, NotBegun, begin, look, unseen
from automation.workflows.engine.buffer import Buffer
from automation.workflows.engine.claiming import Claim, Claimer, claim_length
from automation.workflows.engine.errors_text import bounded, describe, summarise
from automation.workflows.engine.faults import fault
from automation.workflows.engine.finishing import Finish, Finisher, Turn, is_ours
from automation.workflows.engine.invoke import Outcome, StepRaised, invoke
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.resting import after_loss, chance
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.engine.scope import Scope, visible_wake
from automation.workflows.errors import BrokenTransaction, ClaimLost, EventsAway, NotConfigured, StaleRun, UsageError
from automation.workflows.runs import causes
from automation.workflows.runs.values import Run

__all__ = ["Worker"]

logger = logging.getLogger("automation.workflows")


class Worker:
    """Works on runs."""

    def __init__(self, runtime: Runtime, mover: Mover, claimer: Claimer, finisher: Finisher) -> None:
        self._runtime = runtime
        self._mover = mover
        self._claimer = claimer
        self._finisher = finisher

    def work(self, run_id: UUID, step_name: str | None = None) -> None:
        """Take the run if it is there to be taken, and go on until it waits, ends, or the worker's turn is over."""
        # A step without a transaction may save a model whose event sets this off: its verbs are not the other step's.
        token = scope_variable.set(None)
        try:
            claim = self._claimer.claim(run_id, step_name)
            turn = Turn(began_at=self._runtime.now())
            while claim is not None:
                turn.steps += 1
                claim = self._attempt(claim, turn)
        finally:
            scope_variable.reset(token)

    def _attempt(self, claim: Claim, turn: Turn) -> Claim | None:
        """Run one attempt and store what came of it; return the claim to go on with, if there is one."""
        started_at = self._runtime.now()
        attempt = _Attempt()
        try:
            self._run(claim, turn, started_at, attempt)
        except StepRaised as raised:
            self._record(attempt.claim or claim, raised, started_at)
            if not isinstance(raised.error, Exception):
                raise raised.error from None
            return None
        except BrokenTransaction as error:
            self._record(attempt.claim or claim, StepRaised(error, attempt.kept), started_at)
            return None
        except EventsAway as away:
            return self._put_off(claim, away)
        except ClaimLost as lost:
            logger.info("%s", lost, extra={"run_id": str(claim.run.id)})
            return None
        except Exception as error:  # noqa: BLE001 - the storage failed: whatever it raises, the run must not be left behind
            return self._recovered(claim, attempt, error)
        fault("finish.after_commit")
        return None if attempt.finish is None else attempt.finish.claim

    def _run(self, claim: Claim, turn: Turn, started_at: datetime, attempt: "_Attempt") -> None:
        """Body and result in one transaction, or, for a step that is not atomic, the body before it."""
        storage, around_step = self._runtime.storage, self._runtime.wiring.around_step
        if claim.step.atomic:
            with storage.transaction():
                with around_step():
                    self._body(claim, started_at, attempt)
                self._store(attempt, turn, started_at)
            return
        with around_step():
            self._body(claim, started_at, attempt)
        with storage.transaction():
            self._store(attempt, turn, started_at)

    def _body(self, claim: Claim, started_at: datetime, attempt: "_Attempt") -> None:
        attempt.claim = claim
        begun = self._begun(claim, attempt)
        if begun is None:
            return
        attempt.claim = begun
        try:
            scope = attempt.scope = self._scope(begun, started_at)
        except Exception as error:
            # Its validators are the author's code, and may judge the same Context otherwise than a moment ago.
            raise StepRaised(error, None) from error
        try:
            attempt.outcome = invoke(self._runtime, begun.definition, scope)
        finally:
            attempt.claim = replace(begun, run=scope.run)

    def _begun(self, claim: Claim, attempt: "_Attempt") -> Claim | None:
        """Return a run with its Context; a reserved start gets it here, or does not begin."""
        if claim.run.has_begun:
            return claim
        try:
            # What this raises is nobody's attempt: the run is given back, and looked at again.
            snapshot = look(self._runtime, claim.run)
        except NotConfigured as error:
            raise StepRaised(error, None, final=True) from error
        try:
            beginning = begin(self._runtime, claim.definition, claim.run, snapshot)
        except Exception as error:
            # should_run_for_event and create_context are the author's code: an attempt of the step that they begin.
            raise StepRaised(error, None) from error
        match beginning:
            case Begun(data=data):
                return replace(claim, run=replace(claim.run, data=data))
            case NotBegun(cause=cause):
                attempt.not_begun = cause
                return None

    def _scope(self, claim: Claim, started_at: datetime) -> Scope:
        run = claim.run
        assert run.data is not None
        return Scope(
            run=run,
            step=claim.step,
            context=load(claim.definition.context, run.data),
            initial=run.data,
            wake=visible_wake(run),
            buffer=Buffer(own=run.id),
            started_at=started_at,
            renew=partial(self._renewed, is_inside=claim.step.atomic or self._is_in_transaction()),
        )

    def _store(self, attempt: "_Attempt", turn: Turn, started_at: datetime) -> None:
        assert attempt.claim is not None
        if attempt.not_begun is not None:
            self._finisher.not_begun(attempt.claim, attempt.not_begun)
            return
        assert attempt.scope is not None
        assert attempt.outcome is not None
        attempt.finish = self._finisher.returned(attempt.claim, attempt.outcome, attempt.scope.buffer, turn, started_at)

    def _record(self, claim: Claim, raised: StepRaised, started_at: datetime) -> None:
        """Store that an attempt raised, in a commit of its own: its rows are gone, its Context is kept."""
        try:
            with self._runtime.storage.transaction():
                self._finisher.ended(claim, self._raised(claim, raised, started_at))
                fault("failure.before_commit")
        except ClaimLost as lost:
            logger.info("%s", lost, extra={"run_id": str(claim.run.id)})
            return
        fault("failure.after_commit")

    def _raised(self, claim: Claim, raised: StepRaised, started_at: datetime) -> causes.Raised:
        run, policy = claim.run, self._runtime.policy
        retry, failed = claim.step.retry, run.attempt + 1
        ends = raised.final or retry.gives_up(raised.error, failed)
        wait = None if ends else retry.delay(failed, chance(run))
        return causes.Raised(
            error=describe(raised.error, policy.error_length, policy.redact),
            summary=bounded(summarise(raised.error), policy.error_length, policy.redact),
            data=raised.data,
            started_at=started_at,
            position=self._runtime.mailbox.position() if claim.definition.on_fail else run.visit_position,
            retry_at=None if wait is None else self._runtime.now() + wait,
        )

    def _is_in_transaction(self) -> bool:
        """Ask the storage: what follows the commit is done at once where none is to come."""
        done: list[bool] = []
        self._runtime.storage.after_commit(lambda: done.append(True))
        return not done

    def _renewed(self, run: Run, *, is_inside: bool) -> Run:
        """Store a heartbeat; a person's flag that came in between is kept.

        `is_inside`: the whole step runs in somebody's transaction, as in a test, and nobody else is to see it.
        """
        if not is_inside and self._is_in_transaction():
            raise UsageError(
                f"heartbeat() in a transaction that step {run.current_step!r} has opened could not be seen before its "
                "end. Call it between the transactions."
            )
        held: Run | None = run
        definition = self._runtime.registry.exact(run.name, run.version)
        assert definition is not None
        until = self._runtime.now() + claim_length(self._runtime, definition.steps[run.current_step])
        for _ in range(STALE_TRIES):
            if held is None or not is_ours(held, run):
                break
            try:
                with self._runtime.storage.transaction():
                    return self._mover.move(held, causes.Renewed(until=until))
            except StaleRun:
                held = self._runtime.storage.load(run.id)
        raise ClaimLost(f"Run {run.id} is no longer held by this worker: stop, nothing can be committed.")

    def _put_off(self, claim: Claim, away: EventsAway) -> Claim | None:
        """Have a start looked at again whose event cannot be read; at once where that has changed meanwhile."""
        cause = unseen(self._runtime, claim.step, claim.run, away)
        logger.warning("Run %s is %s", claim.run.id, cause.why, extra={"run_id": str(claim.run.id)})
        try:
            with self._runtime.storage.transaction():
                self._finisher.not_begun(claim, cause)
        except StaleRun:
            return self._still_held(claim)
        return None

    def _still_held(self, claim: Claim) -> Claim | None:
        """Return the claim with the run as it is now, to be looked at again; None when it is no longer ours."""
        stored = self._runtime.storage.load(claim.run.id)
        return replace(claim, run=stored) if stored is not None and is_ours(stored, claim.run) else None

    def _recovered(self, held: Claim, attempt: "_Attempt", error: Exception) -> Claim | None:
        """The storage raised. Find out by reading whether the commit happened; if not, return the run back, counted."""
        if attempt.not_begun is not None and isinstance(error, StaleRun):
            return self._still_held(held)
        claim, finish = attempt.claim or held, attempt.finish
        logger.error("The storage failed under step %r.", claim.run.current_step, exc_info=error)
        stored = self._runtime.storage.load(claim.run.id)
        if finish is not None and stored == finish.transition.after:
            return finish.claim
        if stored is None or not is_ours(stored, claim.run):
            return None
        policy = self._runtime.policy
        cause = causes.Lost(
            limit=policy.lost_limit,
            reason=bounded(f"its result could not be stored: {summarise(error)}", policy.error_length, policy.redact),
            position=self._runtime.mailbox.position(),
            again_at=after_loss(self._runtime, claim.step, stored),
        )
        try:
            with self._runtime.storage.transaction():
                self._finisher.ended(replace(claim, run=stored), cause)
        except ClaimLost as lost:
            logger.info("%s", lost, extra={"run_id": str(claim.run.id)})
        return None


class _Attempt:
    """What is known of an attempt so far, for whoever must clean up after it."""

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self.scope: Scope | None = None
        self.outcome: Outcome | None = None
        self.not_begun: causes.CancelRequested | causes.Deferred | None = None
        self.finish: Finish | None = None

    @property
    def kept(self) -> JsonObject | None:
        """The Context to keep when the step returned and its transaction failed; None: as it was stored."""
        if self.scope is None or self.outcome is None:
            return None
        # A copy, as wherever a Context is kept: a storage tells what changed by identity.
        return self.outcome.data if self.scope.step.retry.keep_context else dict(self.scope.initial)
