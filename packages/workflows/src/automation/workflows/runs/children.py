"""How a parent waits for its children: by signals of its own, one for each end.

What a child has to tell stays in its signal. The parent's row has the list of its children, written once, and a count
of those that are out; each end counts it down, whatever the number of the others. Only who seems to be the last has all
of them read and joined, and counted anew: an end that was heard twice, or of a child that was retried, has made the
count too small, never too large.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.runs.values import Run, Signal, StandingWait

__all__ = [
    "CHILDREN_PREFIX",
    "children_of",
    "children_signal",
    "children_wait",
    "children_why",
    "ended_signal",
    "expecting",
    "join",
    "lost_end",
]

CHILDREN_PREFIX = "children:"
"""Names of signals by which children tell that they ended; nobody else may send them."""
_BEYOND_ALL = 2**63 - 1
"""The largest position that a table holds."""


def children_signal(parent_id: UUID, visit: int) -> str:
    """Name the signals for one visit of a parent.

    The name is also a lock in the storage: sixteen per visit number keep parents apart, without a lock for each.
    """
    return f"{CHILDREN_PREFIX}{visit}:{parent_id.hex[-1]}"


def children_wait(parent: Run, then: str | None) -> StandingWait:
    """Return the wait of a parent for its children: what is told to all is not for it."""
    return StandingWait(signal=children_signal(parent.id, parent.visit), then=then, broadcasts_after=_BEYOND_ALL)


def ended_signal(child: Run, revision: int, result: JsonObject | None, now: datetime) -> Signal | None:
    """Return what a run that ends tells its parent; None without a parent."""
    if child.parent_id is None:
        return None
    return Signal(
        id=uuid5(child.id, f"ended:{revision}"),
        name=children_signal(child.parent_id, child.parent_visit),
        payload={
            "id": str(child.id),
            "name": child.name,
            "status": child.status.value,
            "result": None if result is None else dict(result),
            "error": child.error.partition("\n")[0],
        },
        run_id=child.parent_id,
        sent_at=now,
    )


def lost_end(parent: Run, child_id: UUID, error: str, now: datetime) -> Signal:
    """Return what a parent is told of a child that cannot tell it itself any more: it counts as failed."""
    return Signal(
        id=uuid5(child_id, "lost"),
        name=children_signal(parent.id, parent.visit),
        payload={"id": str(child_id), "name": "", "status": "failed", "result": None, "error": error},
        run_id=parent.id,
        sent_at=now,
    )


def expecting(children: Sequence[Run]) -> Wake:
    """Return the wake of a parent that waits: who its children are, in the order in which it asked for them."""
    ids = [str(child.id) for child in children]
    return Wake(kind=WakeKind.CHILDREN, cause=WakeKind.CHILDREN, payload={"children": ids})


def join(expected: JsonObject, ends: Sequence[JsonObject]) -> tuple[JsonObject, int]:
    """Put what the children told into the order of the list; return the payload and how many are still out.

    `ends` are in the order in which they were told: of a child that was retried, the last one counts.
    """
    told = {end["id"]: end for end in ends}
    joined = [dict(told[child_id]) for child_id in expected["children"] if child_id in told]
    return {"children": joined}, len(expected["children"]) - len(joined)


def children_of(run: Run) -> tuple[UUID, ...]:
    """Return the children that a waiting parent waits for, in the order of ids.

    Those that have ended are among them: whoever failed may have been retried since.
    """
    if run.wake is None or run.wake.payload is None:
        return ()
    return tuple(sorted(map(UUID, run.wake.payload["children"])))


def children_why(pending: int) -> str:
    """Say what a parent waits for."""
    return f"waits for {pending} {'child' if pending == 1 else 'children'} to end"
