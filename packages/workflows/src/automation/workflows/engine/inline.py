"""Work without a queue: runs are worked on in the thread that made them ready, one after the other, never nested."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from threading import local
from uuid import UUID

__all__ = ["Trampoline"]


class Trampoline:
    """Works through what is handed to it at the outermost level, so that long chains do not grow the stack."""

    def __init__(self) -> None:
        self._thread = local()

    def run(
        self, run_ids: Iterable[UUID], work: Callable[[UUID], object], has_had_enough: Callable[[int], bool]
    ) -> Sequence[UUID]:
        """Do `work` for each id, or leave the ids to the call that is already at it in this thread.

        `has_had_enough` is asked before each with how many turns that id has had. Return those that it left.
        """
        pending: deque[UUID] | None = getattr(self._thread, "pending", None)
        if pending is not None:
            pending.extend(run_ids)
            return ()
        self._thread.pending = pending = deque(run_ids)
        turns: Counter[UUID] = Counter()
        left: dict[UUID, None] = {}
        try:
            while pending:
                run_id = pending.popleft()
                if has_had_enough(turns[run_id]):
                    left[run_id] = None
                else:
                    turns[run_id] += 1
                    work(run_id)
        finally:
            self._thread.pending = None
        return tuple(left)
