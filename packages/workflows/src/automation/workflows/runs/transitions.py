"""The state machine of a run: one table, one lookup, one error.

Rules:

1. Everything that says which status may follow which is in this file. `decide` chooses among what it allows.
2. A cause that is not in a status's row is refused: a finished run moves for nobody, a claim needs a READY run.
3. COMPLETED and CANCELLED are final. FAILED is left only by a person (`engine.retry`).
4. RUNNING is entered by a claim alone, and left by the step's own result, by the end of its claim, or by a cancel.
5. Several causes may share one stored change (a signal that came first ends a wait at once): each is looked up.

Theory of operation: READY is work that nobody holds, RUNNING is work that a worker holds until its claim ends, WAITING
is moved on by a time or a signal, PAUSED by a person or by code that comes back. The diagram in the docs is made from
this table.
"""

from collections.abc import Mapping
from types import MappingProxyType

from automation.workflows.errors import IllegalTransition
from automation.workflows.runs.values import Run, WorkflowStatus

__all__ = ["TRANSITIONS", "check_transition", "next_statuses"]

_READY = WorkflowStatus.READY
_RUNNING = WorkflowStatus.RUNNING
_WAITING = WorkflowStatus.WAITING
_PAUSED = WorkflowStatus.PAUSED
_COMPLETED = WorkflowStatus.COMPLETED
_FAILED = WorkflowStatus.FAILED
_CANCELLED = WorkflowStatus.CANCELLED

TRANSITIONS: Mapping[WorkflowStatus, Mapping[str, tuple[WorkflowStatus, ...]]] = MappingProxyType(
    {
        _READY: {
            "Claimed": (_RUNNING,),
            "Missing": (_READY, _PAUSED),
            "Postponed": (_READY,),
            "EventChanged": (_READY,),
            "PauseRequested": (_PAUSED,),
            "DeadlinePassed": (_FAILED, _READY),
            "CancelRequested": (_CANCELLED,),
        },
        _RUNNING: {
            "Goto": (_RUNNING, _READY),
            "Sleep": (_WAITING,),
            "Wait": (_WAITING,),
            "Children": (_WAITING, _READY),
            "Complete": (_COMPLETED, _FAILED),
            "Fail": (_FAILED, _READY),
            "Retrying": (_WAITING,),
            "Exhausted": (_FAILED, _READY),
            "Deferred": (_WAITING,),
            "EventChanged": (_RUNNING,),
            "Renewed": (_RUNNING,),
            "Lost": (_READY, _FAILED),
            "PauseRequested": (_RUNNING,),
            "Resumed": (_RUNNING,),
            "CancelRequested": (_CANCELLED,),
        },
        _WAITING: {
            "Due": (_READY,),
            "Signalled": (_READY,),
            "ChildEnded": (_WAITING, _READY, _FAILED),
            "Postponed": (_WAITING,),
            "PauseRequested": (_PAUSED,),
            "DeadlinePassed": (_FAILED, _READY),
            "CancelRequested": (_CANCELLED,),
        },
        _PAUSED: {
            "Resumed": (_READY, _WAITING),
            "Missing": (_PAUSED,),
            "Postponed": (_PAUSED,),
            "PauseRequested": (_PAUSED,),
            "CancelRequested": (_CANCELLED,),
        },
        _FAILED: {
            "RetryRequested": (_READY,),
        },
        _COMPLETED: {},
        _CANCELLED: {},
    }
)
"""Status, then cause, then where that may lead. Finished statuses are present, with what may still move them."""


def next_statuses(status: WorkflowStatus, cause: str) -> tuple[WorkflowStatus, ...]:
    """Return where `cause` may lead from `status`; empty when it may not move the run at all."""
    return TRANSITIONS[status].get(cause, ())


def check_transition(before: Run, cause: str, after: WorkflowStatus) -> None:
    """Raise IllegalTransition unless the table lets `cause` move the run from where it is to `after`."""
    allowed = next_statuses(before.status, cause)
    if after in allowed:
        return
    if allowed:
        wanted = " or ".join(status.upper() for status in allowed)
        raise IllegalTransition(
            f"{cause} leads a {before.status.upper()} run to {wanted}, not to {after.upper()} (run {before.id})."
        )
    causes = ", ".join(TRANSITIONS[before.status]) or "nothing"
    raise IllegalTransition(
        f"{cause} cannot move run {before.id} ({before.name!r}), which is {before.status.upper()}: {causes} can."
    )
