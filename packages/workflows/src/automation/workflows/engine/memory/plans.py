"""Reserved starts in memory."""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from automation.workflows.engine.memory.transactions import Transaction
from automation.workflows.runs.values import Occurrence, Pause, Run, WorkflowStatus

__all__ = ["MemoryPlans"]


_HELD = {WorkflowStatus.WAITING, WorkflowStatus.PAUSED}


class MemoryPlans:
    """The Plans of MemoryStorage: see the port for what is promised."""

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Transaction]],
        insert: Callable[[Sequence[Run]], Sequence[Run]],
    ) -> None:
        self._transaction = transaction
        self._insert = insert

    def reserve(self, runs: Sequence[Run]) -> None:
        """Store those whose place is free."""
        self._insert(runs)

    def move(self, occurrences: Sequence[Occurrence], now: datetime) -> None:
        """Set the times of reserved starts to their events' new dates plus their own offsets."""
        by_id = {occurrence.id: occurrence for occurrence in occurrences}
        with self._transaction() as open_:
            for run in _reserved(open_, by_id):
                assert run.occurrence is not None
                if run.status not in _HELD:
                    open_.changes.runs[run.id] = replace(run, revision=run.revision + 1, updated_at=now)
                    continue
                moved = by_id[run.occurrence.id]
                planned = None if moved.at is None else moved.at + run.offset
                open_.changes.runs[run.id] = replace(
                    run,
                    revision=run.revision + 1,
                    occurrence=replace(moved, payload=None),
                    wake_at=planned,
                    # Who is paused for its code is looked at again when it was to be.
                    next_at=run.next_at if run.status is WorkflowStatus.PAUSED else planned,
                    updated_at=now,
                )

    def withdraw(self, occurrence_ids: Sequence[str], reason: str, now: datetime) -> None:
        """Cancel reserved starts."""
        with self._transaction() as open_:
            for run in _reserved(open_, set(occurrence_ids)):
                if run.status not in _HELD:
                    open_.changes.runs[run.id] = replace(run, revision=run.revision + 1, updated_at=now)
                    continue
                open_.changes.runs[run.id] = replace(
                    run,
                    revision=run.revision + 1,
                    status=WorkflowStatus.CANCELLED,
                    wake_at=None,
                    next_at=None,
                    wake=None,
                    pause=Pause.NONE,
                    missing_since=None,
                    why=reason,
                    updated_at=now,
                    finished_at=now,
                )

    def reserved(self, occurrence_ids: Sequence[str]) -> Sequence[Run]:
        """Return the reserved starts that have not begun and have not ended."""
        with self._transaction() as open_:
            return list(_reserved(open_, set(occurrence_ids)))


def _reserved(open_: Transaction, occurrence_ids: Container[str]) -> Iterator[Run]:
    """Lock and give each, in the order of ids."""
    for run in sorted(open_.live(), key=lambda run: run.id):
        if not _is_reserved(run, occurrence_ids):
            continue
        open_.lock(("run", run.id))
        fresh = open_.run(run.id)
        if fresh is not None and _is_reserved(fresh, occurrence_ids):
            yield fresh


def _is_reserved(run: Run, occurrence_ids: Container[str]) -> bool:
    if run.has_begun or run.occurrence is None:
        return False
    return not run.status.is_terminal and run.occurrence.id in occurrence_ids
