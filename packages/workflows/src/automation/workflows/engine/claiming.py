"""A worker takes a run, if it is there to be taken and its code is here."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from automation.workflows.authoring.contexts import merge
from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.wakes import WakeKind
from automation.workflows.engine.deadlines import past_deadline
from automation.workflows.engine.faults import fault
from automation.workflows.engine.fitting import Absent, Found, fit
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.errors import StaleRun, UnreadableRun
from automation.workflows.runs import causes
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import Transition, fold
from automation.workflows.runs.values import Pause, Run, WorkflowStatus
from automation.workflows.runs.visits import GRACE

__all__ = ["Claim", "Claimer", "claim_length"]

logger = logging.getLogger("automation.workflows")

CLOCKS_DIFFER = timedelta(seconds=5)
"""How far the clocks of two machines may stand apart without a timer being lost to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that this worker holds."""

    run: Run
    definition: WorkflowDefinition
    merged: bool = False
    """The signal that woke the visit changed the Context."""

    @property
    def step(self) -> StepDefinition:
        """The step to run."""
        return self.definition.steps[self.run.current_step]


def claim_length(runtime: Runtime, step: StepDefinition) -> timedelta:
    """Return how long a claim on this step lasts."""
    policy = runtime.policy
    return (step.timeout or policy.step_timeout) + policy.claim_margin


class Claimer:
    """Claims runs."""

    def __init__(self, runtime: Runtime, mover: Mover, hints: Hints) -> None:
        self._runtime = runtime
        self._mover = mover
        self._hints = hints

    def claim(self, run_id: UUID, step_name: str | None) -> Claim | None:
        """Take the run, in a commit of its own; None when it is not there to be taken."""
        for _ in range(STALE_TRIES):
            run = self._loaded(run_id)
            if run is None or (step_name is not None and run.current_step != step_name):
                return None
            if not _is_takeable(run, self._runtime.now()):
                self._repeat_early(run)
                return None
            try:
                with self._runtime.storage.transaction():
                    transition, claim = self.prepare(run)
                    self._mover.apply([transition])
                    fault("claim.before_commit")
            except StaleRun:
                # Mostly another worker was faster. If the event changed, nobody has the run, and no message will come.
                continue
            fault("claim.after_commit")
            return claim
        return None

    def _loaded(self, run_id: UUID) -> Run | None:
        """Load a run; one that cannot be read is not there to be taken: the sweep holds it, with the reason."""
        try:
            return self._runtime.storage.load(run_id)
        except UnreadableRun as unreadable:
            logger.error("%s", unreadable, extra={"run_id": str(run_id)})
            return None

    def _repeat_early(self, run: Run) -> None:
        """Give the hint once more when it came a little early: the clock of whoever let it go is ahead of ours."""
        now = self._runtime.now()
        if run.status is WorkflowStatus.WAITING and run.next_at and now < run.next_at <= now + CLOCKS_DIFFER:
            self._hints.give([run.id], run.next_at)

    def prepare(self, run: Run) -> tuple[Transition, Claim | None]:
        """Return the move that takes a READY or due run, and the claim it makes; or the move that says why not."""
        if (over := past_deadline(self._runtime, run)) is not None:
            return over, None
        now = self._runtime.now()
        moves: list[Transition] = []
        if run.status is WorkflowStatus.WAITING:
            moves.append(decide(run, causes.Due(position=self._runtime.mailbox.position()), None, now))
        ready = moves[-1].after if moves else run
        move, claim = self._taken(ready, now)
        transition = fold(*moves, move)
        return transition, None if claim is None else replace(claim, run=transition.after)

    def missing(self, run: Run, absent: Absent, now: datetime) -> causes.Missing:
        """Say that this code cannot go on with a run. A deploy gets some grace before the run is paused."""
        policy = self._runtime.policy
        since = run.missing_since or now
        over = absent.pause is Pause.CONTEXT or now - since >= policy.missing_grace
        held = over or run.status is WorkflowStatus.PAUSED
        return causes.Missing(
            pause=absent.pause,
            reason=absent.reason,
            gives_up=over,
            look_again_at=now + (policy.missing_check if held else min(GRACE, policy.missing_grace)),
        )

    def _taken(self, run: Run, now: datetime) -> tuple[Transition, Claim | None]:
        match fit(self._runtime.registry, run):
            case Absent() as absent:
                return decide(run, self.missing(run, absent, now), None, now), None
            case Found() as found:
                return self._claimed(run, found, now)

    def _claimed(self, run: Run, found: Found, now: datetime) -> tuple[Transition, Claim]:
        data, rejected = _with_payload(run, found)
        cause = causes.Claimed(
            until=now + claim_length(self._runtime, found.definition.steps[run.current_step]),
            version=found.definition.version,
            step=run.current_step,
            data=data,
            rejected=rejected,
        )
        transition = decide(run, cause, found.definition, now)
        return transition, Claim(run=transition.after, definition=found.definition, merged=data != found.data)


def _is_takeable(run: Run, now: datetime) -> bool:
    if run.status is WorkflowStatus.READY:
        return True
    return run.status is WorkflowStatus.WAITING and run.next_at is not None and run.next_at <= now


def _with_payload(run: Run, found: Found) -> tuple[JsonObject | None, tuple[tuple[str, str], ...]]:
    """Merge the payload of the signal that began the visit: once, by the first of its workers that has the code.

    In a visit that goes on after it failed the wake says `retry`: its payload is merged already.
    """
    wake = run.wake
    is_first = run.attempt == 0 and run.lost_claims == 0
    if found.data is None or wake is None or wake.kind is not WakeKind.SIGNAL or not wake.payload or not is_first:
        return found.data, ()
    payload = {key: value for key, value in wake.payload.items() if key not in wake.rejected}
    merged = merge(found.definition.context, found.data, payload)
    return merged.data, tuple(merged.rejected.items())
