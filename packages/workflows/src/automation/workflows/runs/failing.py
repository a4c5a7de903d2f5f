"""How a run fails: by its author, by its attempts, by its workers. Where there is an `@on_fail` step, by way of it."""

from dataclasses import replace
from datetime import datetime

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs import causes
from automation.workflows.runs.values import Run, WorkflowStatus
from automation.workflows.runs.visits import Move, clock_text, compensates, earliest, ended, enter, ready

__all__ = ["failed", "lost", "raised"]


def failed(run: Run, error: str, definition: WorkflowDefinition | None, now: datetime, position: int) -> Move:
    """Fail, by way of the workflow's `@on_fail` step where there is one and it has not been tried."""
    if compensates(run):
        return ended(run, WorkflowStatus.FAILED, now, error=f"{run.error}\n\n@on_fail failed as well: {error}"), ()
    if definition is None or definition.on_fail is None or not run.has_begun:
        return ended(run, WorkflowStatus.FAILED, now, error=error), ()
    payload = {"step": run.current_step, "error": error.partition("\n")[0]}
    wake = Wake(kind=WakeKind.FAILURE, cause=WakeKind.FAILURE, payload=payload)
    return enter(replace(run, error=error, deadline_at=None), definition.on_fail, wake, now, position)


def raised(run: Run, cause: causes.Raised, definition: WorkflowDefinition | None, now: datetime) -> Move:
    """Have the step tried again later, or fail."""
    kept = replace(run, data=run.data if cause.data is None else cause.data, claim_expires_at=None)
    tried = replace(kept, attempt=run.attempt + 1)
    if cause.retry_at is None:
        return failed(tried, cause.error, definition, now, cause.position)
    why = f"attempt {tried.attempt + tried.lost_claims + 1} at {clock_text(cause.retry_at)}, after {cause.summary}"
    waiting = WorkflowStatus.WAITING
    later = earliest(run, cause.retry_at)
    return replace(tried, status=waiting, wait=None, wake_at=cause.retry_at, next_at=later, why=why), ()


def lost(run: Run, cause: causes.Lost, definition: WorkflowDefinition | None, now: datetime) -> Move:
    """Give the run to another worker, now or in a while, or fail when it has lost too many."""
    lost = replace(run, lost_claims=run.lost_claims + 1, claim_expires_at=None)
    if lost.lost_claims >= cause.limit and definition is not None:
        error = f"Step {run.current_step!r} came to no end {lost.lost_claims} times; the last time: {cause.reason}"
        return failed(lost, error, definition, now, cause.position)
    after, effects = ready(lost, now)
    if cause.again_at is None:
        return after, effects
    why = f"attempt {lost.attempt + lost.lost_claims + 1} at {clock_text(cause.again_at)}, after {cause.reason}"
    return replace(after, next_at=earliest(run, cause.again_at), why=why), effects
