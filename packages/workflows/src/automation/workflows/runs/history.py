"""One row of history for each cause that ends an attempt."""

from datetime import datetime
from typing import assert_never

from automation.workflows.authoring.results import Children, Complete, Fail, Goto, Sleep, StepResult, Wait
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause
from automation.workflows.runs.values import Attempt, AttemptOutcome, Run

__all__ = ["attempt_row"]


_OUTCOMES: dict[type[StepResult], AttemptOutcome] = {
    Goto: AttemptOutcome.GOTO,
    Sleep: AttemptOutcome.SLEEP,
    Wait: AttemptOutcome.WAIT,
    Children: AttemptOutcome.CHILDREN,
    Complete: AttemptOutcome.COMPLETE,
    Fail: AttemptOutcome.FAIL,
}


def attempt_row(run: Run, cause: Cause, now: datetime) -> Attempt | None:
    """Return the history row of a cause that ends an attempt."""
    match cause:
        case causes.Returned():
            outcome, started_at = _OUTCOMES[type(cause.result)], cause.started_at
            detail = _detail(cause.result)
        case causes.Raised():
            outcome = AttemptOutcome.EXHAUSTED if cause.retry_at is None else AttemptOutcome.RETRY
            started_at, detail = cause.started_at, cause.error
        case causes.Lost():
            outcome, started_at, detail = AttemptOutcome.LOST, run.updated_at, cause.reason
        case _:
            return None
    return Attempt(
        run_id=run.id,
        revision=run.revision + 1,
        step=run.current_step,
        visit=run.visit,
        number=run.attempt + run.lost_claims + 1,
        outcome=outcome,
        started_at=started_at,
        finished_at=now,
        detail=detail,
    )


def _detail(result: StepResult) -> str:
    match result:
        case Goto():
            return result.step
        case Sleep():
            return str(result.duration)
        case Wait():
            return result.signal
        case Children():
            return f"{len(result.children)} children"
        case Complete():
            return ""
        case Fail():
            return result.reason
    assert_never(result)
