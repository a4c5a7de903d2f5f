"""What a step's result makes of its run: one function for each word that a step may return."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.results import Children, Complete, Fail, Goto, Sleep, StepResult, Wait
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs import causes
from automation.workflows.runs.children import children_wait, children_why, expecting
from automation.workflows.runs.failing import failed
from automation.workflows.runs.matching import standing_wait
from automation.workflows.runs.values import Run, StandingWait, WorkflowStatus
from automation.workflows.runs.visits import Move, compensates, ended, enter, wait_why, waits

__all__ = ["returned"]


def returned(  # noqa: PLR0917 - the arms of one match
    run: Run,
    cause: causes.Returned,
    result: StepResult,
    definition: WorkflowDefinition | None,
    now: datetime,
    children: tuple[Run, ...],
) -> Move:
    """Return the run after a step's result."""
    kept = replace(run, data=cause.data, claim_expires_at=None)
    match result:
        case Goto():
            return _gone(kept, result.step, cause, now)
        case Sleep():
            return _sleeping(kept, result, now), ()
        case Wait():
            return _waiting(kept, result, now, cause.position), ()
        case Children():
            return _parted(kept, result, children, now, cause.position)
        case Complete():
            return _completed(kept, now), ()
        case Fail():
            return failed(kept, result.reason, definition, now, cause.position)
    assert_never(result)


def _gone(run: Run, step: str, cause: causes.Returned, now: datetime) -> Move:
    wake = Wake(kind=WakeKind.GOTO, cause=WakeKind.GOTO)
    after, effects = enter(run, step, wake, now, cause.position)
    if cause.run_on_until is None:
        return after, effects
    until = cause.run_on_until
    running = WorkflowStatus.RUNNING
    return replace(after, status=running, claim_expires_at=until, next_at=until, why="a worker is running it"), ()


def _sleeping(run: Run, result: Sleep, now: datetime) -> Run:
    until = now + result.duration
    wait = StandingWait(signal="", then=result.then)
    return waits(run, wait, until, wait_why(wait, until))


def _waiting(run: Run, result: Wait, now: datetime, position: int) -> Run:
    asked = standing_wait(run, result, now=now, position=position)
    deadline = _deadline(run, result, asked.key, now)
    wait = replace(asked, deadline_at=deadline)
    return waits(run, wait, deadline, wait_why(wait, deadline))


def _deadline(run: Run, result: Wait, key: str, now: datetime) -> datetime | None:
    """A wait renewed after the very signal it was for keeps its original deadline; any other counts anew."""
    if result.timeout is None:
        return None
    wake = run.wake
    is_renewed = (
        wake is not None and wake.cause is WakeKind.SIGNAL and (wake.signal, wake.asked) == (result.signal, key)
    )
    if wake is not None and is_renewed and wake.deadline_at:
        return wake.deadline_at
    return now + result.timeout


def _parted(run: Run, result: Children, children: tuple[Run, ...], now: datetime, position: int) -> Move:
    wake = expecting(children)
    if not children:
        return enter(run, result.then or run.current_step, wake, now, position)
    waiting = waits(run, children_wait(run, result.then), None, children_why(len(children)))
    return replace(waiting, wake=wake, children_pending=len(children)), ()


def _completed(run: Run, now: datetime) -> Run:
    """A failed run stays failed, however well its `@on_fail` step ended."""
    if compensates(run):
        return ended(run, WorkflowStatus.FAILED, now, error=run.error)
    return ended(run, WorkflowStatus.COMPLETED, now)
