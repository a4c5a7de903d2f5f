"""Work without a queue: runs are worked on in the thread that made them ready, one after the other, never nested."""

from collections import deque
from collections.abc import Callable, Iterable
from threading import local
from uuid import UUID

__all__ = ["Trampoline"]


class Trampoline:
    """Works through what is handed to it at the outermost level, so that long chains do not grow the stack."""

    def __init__(self) -> None:
        self._thread = local()

    def run(self, run_ids: Iterable[UUID], work: Callable[[UUID], object]) -> None:
        """Do `work` for each id, or leave the ids to the call that is already at it in this thread."""
        pending: deque[UUID] | None = getattr(self._thread, "pending", None)
        if pending is not None:
            pending.extend(run_ids)
            return
        self._thread.pending = pending = deque(run_ids)
        try:
            while pending:
                work(pending.popleft())
        finally:
            self._thread.pending = None
