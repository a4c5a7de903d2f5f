"""Telling somebody that a run can be worked on. A hint carries no truth: losing one costs time, never a step."""

import logging
from collections.abc import Sequence
from datetime import datetime
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
        worker = self._runtime.wiring.worker
        if worker is not None:
            trampoline = self._runtime.trampoline
            self._runtime.storage.after_commit(lambda: trampoline.run(run_ids, worker.execute_step))

    def _enqueue(self, run_ids: Sequence[UUID], run_after: datetime | None) -> None:
        executor = self._runtime.wiring.executor
        assert executor is not None
        try:
            executor.enqueue(run_ids, run_after=run_after)
        except Exception:
            # A queue that is down must not take the caller's data with it: the rows are ready, the sweep hints again.
            logger.exception("The executor refused a hint; the sweep will repeat it.", extra={"runs": len(run_ids)})
