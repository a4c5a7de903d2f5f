"""What a delivered signal is to the run that waits for it."""

import json
from collections.abc import Sequence

from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.engine.runtime import Runtime
from automation.workflows.runs.causes import ChildEnded, Signalled
from automation.workflows.runs.children import CHILDREN_PREFIX
from automation.workflows.runs.values import Run, Signal, StandingWait

__all__ = ["awaited", "heard"]


def heard(runtime: Runtime, run: Run, signal: Signal) -> ChildEnded | Signalled:
    """Return the cause that a delivered signal is to a WAITING run; for the last of its children, with all ends."""
    if run.wait is None or not signal.name.startswith(CHILDREN_PREFIX):
        return Signalled(signal=signal)
    if run.children_pending > 1:
        return ChildEnded(signal=signal)
    return _joined(runtime, run, run.wait) or ChildEnded(signal=signal, ends=())


def awaited(runtime: Runtime, run: Run, wait: StandingWait) -> ChildEnded | Signalled | None:
    """Return what has been delivered already for a run that stands in this wait again, after a pause.

    Call it with the lock of the wait's name held.
    """
    if run.children_pending:
        return _joined(runtime, run, wait)
    signal = next(iter(runtime.mailbox.matching(run.id, wait, limit=1)), None)
    return None if signal is None else Signalled(signal=signal)


def _joined(runtime: Runtime, run: Run, wait: StandingWait) -> ChildEnded | None:
    """Return all ends that the children have told; None when there is none. One reading, however many they are."""
    ends = runtime.mailbox.matching(run.id, wait)
    if not ends:
        return None
    told = tuple(end.payload for end in ends if end.payload is not None)
    return ChildEnded(signal=ends[-1], ends=told, error=_too_much(told, runtime.policy.children_bytes))


def _too_much(told: Sequence[JsonObject], limit: int) -> str:
    size = sum(len(json.dumps(each, ensure_ascii=False).encode()) for each in told)
    if size <= limit:
        return ""
    return (
        f"What {len(told)} children gave back takes {size} bytes of JSON together, over {limit} "
        "(AUTOMATION_WORKFLOWS['CHILDREN_BYTES']). Have each store what it has to tell, and return ids."
    )
