"""The decision: what a run becomes, given why it moves. Pure: no I/O, no clock, no chance.

Every change of a run's status is decided here and in the modules beside it; `runs.transitions` says which are allowed,
and each is looked up there.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.results import Complete
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause
from automation.workflows.runs.children import children_of, children_why, ended_signal, join
from automation.workflows.runs.failing import failed, lost, raised
from automation.workflows.runs.history import attempt_row
from automation.workflows.runs.matching import unaccepted
from automation.workflows.runs.returning import returned
from automation.workflows.runs.transition import CancelRuns, Effect, Enqueue, Send, Transition
from automation.workflows.runs.transitions import check_transition
from automation.workflows.runs.values import Pause, Run, StandingWait, WorkflowStatus
from automation.workflows.runs.visits import (
    AFTER_THE_STEP,
    Move,
    again,
    earliest,
    ended,
    enter,
    first_wake,
    ready,
    wait_why,
)

__all__ = ["decide"]


def decide(
    run: Run, cause: Cause, definition: WorkflowDefinition | None, now: datetime, children: tuple[Run, ...] = ()
) -> Transition:
    """Return the move of `run` for `cause`. Raises IllegalTransition where the table has none.

    `definition` may be None where the code is not at hand (sweeps, deliveries): then no `@on_fail` step is entered.
    `children` are the new runs of a step that returned `Children`.
    """
    after, effects = _after(run, cause, definition, now, children)
    check_transition(run, cause.name, after.status)
    after = replace(after, revision=run.revision + 1, updated_at=now)
    return Transition(
        before=run,
        after=after,
        cause=cause.name,
        attempt=attempt_row(run, cause, now),
        consumed=cause.signal.id if isinstance(cause, causes.Signalled) else None,
        effects=effects + _owed(run, after, cause, now),
    )


def _after(  # noqa: PLR0911, PLR0912 - one arm for each cause, as the closed family asks
    run: Run, cause: Cause, definition: WorkflowDefinition | None, now: datetime, children: tuple[Run, ...]
) -> Move:
    match cause:
        case causes.Claimed():
            return _claimed(run, cause, definition, now), ()
        case causes.Missing():
            return _missing(run, cause, now), ()
        case causes.Postponed():
            return replace(run, next_at=cause.until), ()
        case causes.Due():
            return _due(run, cause, now)
        case causes.Signalled():
            return _signalled(run, cause, now)
        case causes.ChildEnded():
            return _child_ended(run, cause, definition, now)
        case causes.PauseRequested():
            return _pause_requested(run, cause), ()
        case causes.Resumed():
            return _resumed(run, now)
        case causes.CancelRequested():
            return ended(run, WorkflowStatus.CANCELLED, now, why=cause.reason), ()
        case causes.RetryRequested():
            return _retry_requested(run, cause, definition, now)
        case causes.DeadlinePassed():
            error = f"The workflow's deadline, {run.deadline_at:%Y-%m-%d %H:%M:%S} UTC, passed at {run.current_step!r}."
            return failed(run, error, definition, now, cause.position)
        case causes.Deferred():
            return _deferred(run, cause), ()
        case causes.EventChanged():
            # Its revision alone, which every change counts up, makes the worker that holds it look again.
            return run, ()
        case causes.Renewed():
            return replace(run, claim_expires_at=cause.until, next_at=cause.until), ()
        case causes.Lost():
            return lost(run, cause, definition, now)
        case causes.Returned():
            return returned(run, cause, cause.result, definition, now, children)
        case causes.Raised():
            return raised(run, cause, definition, now)
    assert_never(cause)


def _claimed(run: Run, cause: causes.Claimed, definition: WorkflowDefinition | None, now: datetime) -> Run:
    wake = run.wake
    if wake is not None and cause.rejected:
        wake = replace(wake, rejected={**wake.rejected, **dict(cause.rejected)})
    return replace(
        run,
        status=WorkflowStatus.RUNNING,
        version=cause.version,
        current_step=cause.step,
        data=cause.data,
        wake=wake,
        claim_expires_at=cause.until,
        next_at=cause.until,
        deadline_at=run.deadline_at if run.has_begun else _new_deadline(definition, now),
        missing_since=None,
        why="a worker is running it",
    )


def _missing(run: Run, cause: causes.Missing, now: datetime) -> Run:
    paused = cause.gives_up or run.status is WorkflowStatus.PAUSED
    return replace(
        run,
        status=WorkflowStatus.PAUSED if paused else WorkflowStatus.READY,
        pause=cause.pause if paused else Pause.NONE,
        missing_since=run.missing_since or now,
        next_at=cause.look_again_at,
        why=cause.reason,
    )


def _due(run: Run, cause: causes.Due, now: datetime) -> Move:
    late = timedelta(0) if run.wake_at is None else max(now - run.wake_at, timedelta(0))
    if not run.has_begun:
        wake = replace(run.wake or first_wake(run.id), late=late)
        begun = replace(run, wake=wake, start_position=cause.position, visit_position=cause.position)
        return ready(begun, now)
    if run.wait is None:
        return ready(run, now)
    step, kind = _timed_out(run, run.wait)
    wake = Wake(kind=kind, cause=kind, signal=run.wait.signal or None, late=late)
    return enter(run, step, wake, now, cause.position)


def _timed_out(run: Run, wait: StandingWait) -> tuple[str, WakeKind]:
    """A sleep goes on as its author said with `then`; a wait's deadline leads to `on_timeout`."""
    if wait.signal:
        return wait.on_timeout or run.current_step, WakeKind.TIMEOUT
    return wait.then or run.current_step, WakeKind.TIMER


def _signalled(run: Run, cause: causes.Signalled, now: datetime) -> Move:
    signal, wait = cause.signal, run.wait
    if wait is None:
        return ready(run, now)
    step = wait.then or run.current_step
    wake = Wake(
        kind=WakeKind.SIGNAL,
        cause=WakeKind.SIGNAL,
        signal=signal.name,
        payload=signal.payload,
        sent_at=signal.sent_at,
        rejected=unaccepted(wait, signal.payload),
        asked=wait.key,
        deadline_at=wait.deadline_at if step == run.current_step else None,
    )
    # The signal's own place, not the mailbox's head: what was delivered since then is for the visit that begins here.
    return enter(run, step, wake, now, max(signal.position or 0, run.visit_position))


def _child_ended(run: Run, cause: causes.ChildEnded, definition: WorkflowDefinition | None, now: datetime) -> Move:
    wait, wake = run.wait, run.wake
    if wait is None or wake is None or wake.payload is None:
        return ready(run, now)
    payload, pending = wake.payload, run.children_pending - 1
    if cause.ends is not None:
        payload, pending = join(wake.payload, cause.ends)
    if pending:
        return replace(run, children_pending=pending, why=children_why(pending)), ()
    position = max(cause.signal.position or 0, run.visit_position)
    if cause.error:
        return failed(run, cause.error, definition, now, position)
    return enter(run, wait.then or run.current_step, replace(wake, payload=payload), now, position)


def _pause_requested(run: Run, cause: causes.PauseRequested) -> Run:
    if run.status is WorkflowStatus.RUNNING:
        return replace(run, pause_requested=True, why=cause.reason + AFTER_THE_STEP)
    return replace(
        run,
        status=WorkflowStatus.PAUSED,
        pause=Pause.PERSON,
        pause_requested=False,
        next_at=None,
        missing_since=None,
        why=cause.reason,
    )


def _resumed(run: Run, now: datetime) -> Move:
    if run.status is WorkflowStatus.RUNNING:
        return replace(run, pause_requested=False, why="a worker is running it"), ()
    free = replace(run, pause=Pause.NONE, missing_since=None)
    if run.wait is None and run.wake_at is None:
        return ready(free, now)
    return replace(free, status=WorkflowStatus.WAITING, next_at=earliest(run, run.wake_at), why=_waits_on(run)), ()


def _waits_on(run: Run) -> str:
    """Say again what a run waits for whose pause had another reason."""
    if not run.has_begun:
        return "not begun"
    if run.children_pending:
        return children_why(run.children_pending)
    if run.wait is None:
        return "waits for its next attempt"
    return wait_why(run.wait, run.wake_at)


def _retry_requested(
    run: Run, cause: causes.RetryRequested, definition: WorkflowDefinition | None, now: datetime
) -> Move:
    fresh = replace(run, error="", finished_at=None, deadline_at=_new_deadline(definition, now))
    if cause.step is None and run.wake is not None:
        return again(fresh, now)
    wake = Wake(kind=WakeKind.START, cause=WakeKind.START)
    return enter(fresh, cause.step or run.current_step, wake, now, cause.position)


def _new_deadline(definition: WorkflowDefinition | None, now: datetime) -> datetime | None:
    return None if definition is None or definition.deadline is None else now + definition.deadline


def _deferred(run: Run, cause: causes.Deferred) -> Run:
    return replace(
        run,
        status=WorkflowStatus.WAITING,
        claim_expires_at=None,
        occurrence=cause.occurrence,
        wake_at=cause.planned_at,
        next_at=cause.next_at,
        deadline_at=None,
        why=cause.why,
    )


def _owed(run: Run, after: Run, cause: Cause, now: datetime) -> tuple[Effect, ...]:
    """Return what every move of this kind owes: a hint, news for the parent, an end for the children."""
    effects: list[Effect] = []
    if run.children_pending and not after.children_pending and not isinstance(cause, causes.ChildEnded):
        effects.append(CancelRuns(run_ids=children_of(run), reason=f"its parent {run.id} went on without it"))
    if after.status.is_terminal:
        told = ended_signal(after, run.revision + 1, _result(cause), now)
        effects += [] if told is None else [Send(signal=told)]
    elif isinstance(cause, causes.Missing | causes.Postponed):
        pass
    elif after.status is WorkflowStatus.READY:
        is_held_back = isinstance(cause, causes.Lost) and cause.again_at is not None and after.visit == run.visit
        effects.append(Enqueue(run_id=run.id, run_after=after.next_at if is_held_back else None))
    elif after.status is WorkflowStatus.WAITING and after.next_at is not None:
        effects.append(Enqueue(run_id=run.id, run_after=after.next_at))
    return tuple(effects)


def _result(cause: Cause) -> JsonObject | None:
    if isinstance(cause, causes.Returned) and isinstance(cause.result, Complete):
        return dict(cause.result.values)
    return None
