"""Where a run goes next: into a visit of a step, into a wait, to its end. What belonged to the old visit goes here."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID, uuid5

from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs.transition import Effect
from automation.workflows.runs.values import Pause, Run, StandingWait, WorkflowStatus

__all__ = [
    "AFTER_THE_STEP",
    "GRACE",
    "Move",
    "again",
    "clock_text",
    "compensates",
    "earliest",
    "ended",
    "enter",
    "first_wake",
    "idempotency_key",
    "ready",
    "wait_why",
    "waits",
]

AFTER_THE_STEP = ", once its step has ended"
"""Follows the reason of a pause in `why` while the step is running."""
GRACE = timedelta(seconds=10)
"""How long a hint may take before the sweep gives it again. A queue that polls every 0.2 s and a busy worker fit in;
one more hint costs one look-up."""

Move: TypeAlias = tuple[Run, tuple[Effect, ...]]
"""The run after, and what the move owes besides what every move of its kind does."""


def first_wake(run_id: UUID) -> Wake:
    """Return the wake of a run's first visit."""
    return Wake(kind=WakeKind.START, cause=WakeKind.START, idempotency_key=idempotency_key(run_id, 1))


def idempotency_key(run_id: UUID, visit: int) -> str:
    """Return the key that is the same on every attempt of a visit."""
    return str(uuid5(run_id, str(visit)))


def enter(run: Run, step: str, wake: Wake, now: datetime, position: int) -> Move:
    """Begin a visit of `step`: everything that belonged to the old one is cleared in this one place."""
    visit = run.visit + 1
    entered = replace(
        run,
        current_step=step,
        visit=visit,
        attempt=0,
        lost_claims=0,
        visit_position=position,
        wake=replace(wake, idempotency_key=idempotency_key(run.id, visit)),
        children_pending=0,
    )
    return ready(entered, now)


def ready(run: Run, now: datetime) -> Move:
    """Give the run to whichever worker comes first; nothing that it waited for stands any longer."""
    after = replace(
        run,
        status=WorkflowStatus.READY,
        wait=None,
        wake_at=None,
        claim_expires_at=None,
        next_at=earliest(run, now + GRACE),
        why="ready for a worker",
    )
    return after, ()


def again(run: Run, now: datetime) -> Move:
    """Go on with a visit that failed: what woke it and its key stay, its attempts count anew.

    Its number is a new one, so that no worker from before the failure passes for the one that takes it now.
    """
    return ready(replace(run, visit=run.visit + 1, attempt=0, lost_claims=0), now)


def waits(run: Run, wait: StandingWait, until: datetime | None, why: str) -> Run:
    """End the visit in a wait: for a signal, a time, or both."""
    return replace(
        run,
        status=WorkflowStatus.WAITING,
        wait=wait,
        wake_at=until,
        next_at=earliest(run, until),
        wake=None,
        attempt=0,
        lost_claims=0,
        why=why,
    )


def wait_why(wait: StandingWait, until: datetime | None) -> str:
    """Say what a wait is for, and until when."""
    time = "" if until is None else f" until {clock_text(until)}"
    if not wait.signal:
        return f"sleeps{time}"
    about = f" about {wait.key.partition(':')[2]}" if wait.key else ""
    return f"waits for signal {wait.signal!r}{about}{time}"


def ended(run: Run, status: WorkflowStatus, now: datetime, *, error: str = "", why: str = "") -> Run:
    """End the run; a compensated failure goes back to the step that failed, where a retry begins."""
    failed_step = run.wake.payload["step"] if compensates(run) and run.wake and run.wake.payload else None
    return replace(
        run,
        status=status,
        current_step=failed_step or run.current_step,
        next_at=None,
        wake_at=None,
        claim_expires_at=None,
        wait=None,
        wake=_unfinished(run) if status is WorkflowStatus.FAILED else None,
        children_pending=0,
        pause=Pause.NONE,
        pause_requested=False,
        missing_since=None,
        error=error,
        why=why,
        finished_at=now,
    )


def _unfinished(run: Run) -> Wake | None:
    """Return the wake with which a retry goes on; None where no visit was under way, or a step cleaned up after it."""
    if run.wake is None or run.wait is not None or compensates(run):
        return None
    was_worked_on = run.status is WorkflowStatus.RUNNING or run.attempt > 0 or run.lost_claims > 0
    return replace(run.wake, kind=WakeKind.RETRY) if was_worked_on else run.wake


def compensates(run: Run) -> bool:
    """Return whether the run has failed and is in its `@on_fail` step."""
    return run.wake is not None and run.wake.cause is WakeKind.FAILURE


def earliest(run: Run, at: datetime | None) -> datetime | None:
    """The workflow's own deadline may come before whatever the run waits for."""
    times = [time for time in (at, run.deadline_at) if time is not None]
    return min(times, default=None)


def clock_text(at: datetime) -> str:
    """Return a time for people."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
