"""Reserved starts that are not withdrawn, or withdrawn with others."""

from dataclasses import replace

from automation.workflows.engine.memory.plans import MemoryPlans
from automation.workflows.runs.values import WorkflowStatus
from tests.broken.storages.intact import plans


@plans(
    "what_has_ended_neither_moves_nor_is_withdrawn",
)
class WithdrawsWhatHasEnded(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(occurrence_ids, reason, now)
        with self._transaction() as open_:
            for run in [run for run in open_.tables.runs.values() if run.status.is_terminal]:
                open_.changes.runs[run.id] = replace(run, why=reason)


@plans(
    "what_a_worker_is_about_to_begin_is_only_counted_up",
)
class WithdrawsUnderAWorker(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(occurrence_ids, reason, now)
        with self._transaction() as open_:
            for run in list(open_.changes.runs.values()):
                if run.status is WorkflowStatus.RUNNING:
                    open_.changes.runs[run.id] = replace(run, status=WorkflowStatus.CANCELLED, next_at=None)


@plans(
    "other_occurrences_are_left_alone",
)
class FoldsWhatItWithdraws(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        with self._transaction() as open_:
            folded = {each.lower() for each in occurrence_ids}
            known = [run.occurrence.id for run in open_.live() if run.occurrence]
        super().withdraw([*occurrence_ids, *(each for each in known if each.lower() in folded)], reason, now)


@plans(
    "withdrawing_cancels_and_says_why",
)
class WithdrawsWithoutAReason(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(occurrence_ids, "", now)


@plans(
    "a_paused_start_is_withdrawn",
)
class LeavesWhatIsPaused(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        with self._transaction() as open_:
            super().withdraw(occurrence_ids, reason, now)
            for run in list(open_.changes.runs.values()):
                if (before := open_.tables.runs[run.id]).status is WorkflowStatus.PAUSED:
                    open_.changes.runs[run.id] = before


@plans(
    "many_occurrences_are_withdrawn_at_once",
)
class WithdrawsAHundred(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(list(occurrence_ids)[:100], reason, now)
