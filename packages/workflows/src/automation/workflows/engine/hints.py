"""Telling somebody that a run can be worked on. A hint carries no truth: losing one costs time, never a step."""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from automation.workflows.engine.runtime import Runtime

__all__ = ["Hints"]

logger = logging.getLogger("automation.workflows")


class Hints:
    """Hands runs to the executor, or works on them here after the commit where there is none."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def give(self, run_ids: Sequence[UUID], run_after: datetime | None = None) -> None:
        """Hand runs over, inside the transaction that made them ready. A time too far ahead is left to the sweep."""
        later = None if run_after is None or run_after <= self._runtime.now() else run_after
        if not run_ids or (later is not None and not self._is_near(later)):
            return
        if self._runtime.wiring.executor is None:
            self._work_here(tuple(run_ids))
        else:
            self._enqueue(run_ids, later)

    def _is_near(self, run_after: datetime) -> bool:
        executor = self._runtime.wiring.executor
        return executor is not None and run_after - self._runtime.now() <= executor.horizon

    def _work_here(self, run_ids: tuple[UUID, ...]) -> None:
        if self._runtime.wiring.worker is not None:
            self._runtime.storage.after_commit(partial(self._work_off, run_ids))

    def _work_off(self, run_ids: tuple[UUID, ...]) -> None:
        """Be the worker, in the commit of whoever made the runs ready; give the caller its thread back some time."""
        worker, policy = self._runtime.wiring.worker, self._runtime.policy
        assert worker is not None
        until = self._runtime.now() + policy.inline_time

        def has_had_enough(turns: int) -> bool:
            return turns >= policy.inline_turns or self._runtime.now() >= until

        left = self._runtime.trampoline.run(run_ids, worker.execute_step, has_had_enough)
        run = self._runtime.storage.load(left[0]) if left else None
        if run is not None and not run.status.is_terminal:
            logger.warning(
                "No executor is bound, so runs are worked on in the commit of their caller, and this one has gone on "
                "for long enough. Left READY to the sweep: %d, the first at step %r of %r. A step that goes to itself "
                "wants a sleep(...) or a wait(...) in between; long work wants an executor.",
                len(left),
                run.current_step,
                run.name,
                extra={"run_id": str(run.id)},
            )

    def _enqueue(self, run_ids: Sequence[UUID], run_after: datetime | None) -> None:
        executor = self._runtime.wiring.executor
        assert executor is not None
        try:
            executor.enqueue(run_ids, run_after=run_after)
        except Exception:
            # A queue that is down must not take the caller's data with it: the rows are ready, the sweep hints again.
            logger.exception("The executor refused a hint; the sweep will repeat it.", extra={"runs": len(run_ids)})
