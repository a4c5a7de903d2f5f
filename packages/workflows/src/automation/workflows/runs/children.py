"""How a parent waits for its children: by signals of its own, one per child, gathered in the wake to come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs.causes import ChildEnded, Signalled
from automation.workflows.runs.values import Run, Signal, WorkflowStatus

__all__ = [
    "CHILDREN_PREFIX",
    "children_signal",
    "children_why",
    "ended_signal",
    "gather",
    "gathering",
    "heard",
    "live_children",
]

CHILDREN_PREFIX = "children:"
"""Names of signals by which children tell that they ended; nobody else may send them."""


def children_signal(parent_id: UUID, visit: int) -> str:
    """Name the signals for one visit of a parent.

    The name is also a lock in the storage: sixteen per visit number keep parents apart, without a lock for each.
    """
    return f"{CHILDREN_PREFIX}{visit}:{parent_id.hex[-1]}"


def ended_signal(child: Run, revision: int, result: JsonObject | None, now: datetime) -> Signal | None:
    """Return what a run that ends tells its parent; None without a parent."""
    if child.parent_id is None:
        return None
    return Signal(
        id=uuid5(child.id, f"ended:{revision}"),
        name=children_signal(child.parent_id, child.parent_visit),
        payload=_entry(child.id, child.name, child.status, result, child.error.partition("\n")[0]),
        run_id=child.parent_id,
        sent_at=now,
    )


def gathering(children: Sequence[Run]) -> Wake:
    """Return the wake of the visit to come, before any child has ended."""
    entries = [_entry(child.id, child.name, None, None, "") for child in children]
    return Wake(kind=WakeKind.CHILDREN, cause=WakeKind.CHILDREN, payload={"children": entries})


def gather(payload: JsonObject, ended: Mapping[str, Any]) -> tuple[JsonObject, int]:
    """Put one child's end into its place; return the payload and how many are still out."""
    entries = [dict(ended) if entry["id"] == ended["id"] else entry for entry in payload["children"]]
    return {"children": entries}, sum(entry["status"] is None for entry in entries)


def heard(signal: Signal) -> ChildEnded | Signalled:
    """Return the cause that a delivered signal is to the run that waits for it."""
    return ChildEnded(signal=signal) if signal.name.startswith(CHILDREN_PREFIX) else Signalled(signal=signal)


def live_children(run: Run) -> tuple[UUID, ...]:
    """Return the children of a waiting parent that may be alive: those that are out, and those that failed.

    Whoever failed may have been retried since.
    """
    if not run.children_pending or run.wake is None or run.wake.payload is None:
        return ()
    may_live = {None, WorkflowStatus.FAILED.value}
    entries = run.wake.payload["children"]
    return tuple(sorted(UUID(entry["id"]) for entry in entries if entry["status"] in may_live))


def _entry(
    child_id: UUID, name: str, status: WorkflowStatus | None, result: JsonObject | None, error: str
) -> dict[str, Any]:
    return {
        "id": str(child_id),
        "name": name,
        "status": None if status is None else status.value,
        "result": None if result is None else dict(result),
        "error": error,
    }


def children_why(pending: int) -> str:
    """Say what a parent waits for."""
    return f"waits for {pending} {'child' if pending == 1 else 'children'} to end"
