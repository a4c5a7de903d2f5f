"""How long a run rests when something that it needs is away: longer each time, and each run for a time of its own."""

from datetime import datetime, timedelta
from uuid import UUID

from automation.workflows.authoring.definitions import StepDefinition
from automation.workflows.authoring.retry import Retry
from automation.workflows.engine.claiming import claim_length
from automation.workflows.engine.runtime import Runtime
from automation.workflows.runs.values import Run
from automation.workflows.runs.visits import idempotency_key

__all__ = ["after_blind_look", "after_loss", "chance"]

FIRST_PAUSE = timedelta(seconds=15)
"""How long a run rests when its storage fails for the second time in one visit; then twice as long, and so on. With the
usual limit of five it has nearly two minutes before it fails: a database that is restarted is back by then."""
FIRST_LOOK = timedelta(seconds=1)
"""How long a start rests whose event could not be read at its time: mostly a connection broke, and the next holds."""
_JITTER = 0.5


def after_loss(runtime: Runtime, step: StepDefinition, run: Run) -> datetime | None:
    """Return when a run goes on whose storage has just failed: at once the first time, then later each time.

    A dead worker is missed only when its claim ends, which is pause enough. A storage that fails says so at once, and
    would use up all the losses that a run is allowed while it is away for a moment. The pause is no longer than a
    claim: whatever fails, a run recovers as soon as it would from a dead worker.
    """
    if not run.lost_claims:
        return None
    pauses = Retry(base_delay=FIRST_PAUSE, max_delay=claim_length(runtime, step), jitter=_JITTER)
    return runtime.now() + pauses.delay(run.lost_claims, chance(run))


def after_blind_look(runtime: Runtime, step: StepDefinition, run: Run, planned_at: datetime | None) -> datetime:
    """Return when a start is looked at again whose event cannot be read: it rests for as long as it is late already.

    That doubles its lateness each time, and nothing has to be counted: no loss is used up, however long it takes.
    """
    now = runtime.now()
    late = now - max(planned_at or run.created_at, run.created_at)
    longest = claim_length(runtime, step)
    pause = Retry(base_delay=max(FIRST_LOOK, min(late, longest)), max_delay=longest, jitter=_JITTER)
    return now + pause.delay(1, chance(run))


def chance(run: Run) -> float:
    """Return a number in [0, 1) that differs between runs and attempts, and is the same when computed again."""
    return UUID(idempotency_key(run.id, run.visit * 1000 + run.attempt + run.lost_claims)).int / 2**128
