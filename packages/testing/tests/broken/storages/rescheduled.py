"""Reserved starts that do not follow their occurrence, or that drag others along."""

from dataclasses import replace
from datetime import timedelta

from automation.workflows.engine.memory.plans import MemoryPlans
from automation.workflows.runs.values import WorkflowStatus
from tests.broken.storages.intact import plans


class OwnMove(MemoryPlans):
    """Moves, and then writes what `after` makes of each run that was moved."""

    def after(self, before, run):
        return run

    def move(self, occurrences, now):
        with self._transaction() as open_:
            before = {run.id: run for run in open_.live()}
            super().move(occurrences, now)
            for run in list(open_.changes.runs.values()):
                if run.id in before and before[run.id] != run:
                    open_.changes.runs[run.id] = self.after(before[run.id], run)


@plans(
    "a_reserved_start_follows_its_occurrence",
    "a_start_paused_for_its_code_is_looked_at_again_when_it_was_to_be",
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
    "many_occurrences_move_at_once_each_to_its_own_date",
)
class MovesWithoutTheOffset(OwnMove):
    def after(self, before, run):
        if run.wake_at == before.wake_at:
            return run
        wake_at = run.occurrence.at
        return replace(run, wake_at=wake_at, next_at=run.next_at and wake_at)


@plans(
    "a_reserved_start_follows_its_occurrence",
    "a_start_paused_for_its_code_is_looked_at_again_when_it_was_to_be",
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
)
class MovesBySeconds(OwnMove):
    def after(self, before, run):
        if run.wake_at is None or run.wake_at == before.wake_at:
            return run
        wake_at = run.wake_at - timedelta(microseconds=run.offset.microseconds)
        return replace(run, wake_at=wake_at, next_at=run.next_at and wake_at)


@plans(
    "a_move_changes_nothing_else_but_the_words_for_people",
)
class MovesTheAttemptAlong(OwnMove):
    def after(self, before, run):
        return replace(run, attempt=run.attempt + 1) if run.wake_at != before.wake_at else run


@plans(
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
)
class MovesOneWorkflow(MemoryPlans):
    def move(self, occurrences, now):
        with self._transaction() as open_:
            before = {run.id: run for run in open_.live()}
            super().move(occurrences, now)
            moved = [run for run in before.values() if open_.changes.runs.get(run.id, run) != run]
            for run in moved[1:] if len(occurrences) == 1 else []:
                del open_.changes.runs[run.id]


@plans(
    "many_occurrences_move_at_once_each_to_its_own_date",
)
class MovesAHundred(MemoryPlans):
    def move(self, occurrences, now):
        super().move(list(occurrences)[:100], now)


@plans(
    "a_reserved_start_follows_its_occurrence",
    "a_start_moved_into_the_past_is_due",
)
class LeavesThePastAlone(OwnMove):
    def after(self, before, run):
        is_past = run.next_at is not None and run.next_at < run.created_at
        return replace(run, next_at=before.next_at) if is_past else run


@plans(
    "a_start_that_waits_for_its_condition_alone_is_looked_at_on_the_new_date",
)
class MovesOnlyWhatHasATime(OwnMove):
    def after(self, before, run):
        return replace(run, next_at=None) if before.next_at is None else run


@plans(
    "a_paused_start_moves_and_stays_paused",
    "a_start_paused_for_its_code_is_looked_at_again_when_it_was_to_be",
)
class ResumesWhatItMoves(OwnMove):
    def after(self, before, run):
        return replace(run, next_at=run.wake_at) if run.status is WorkflowStatus.PAUSED else run


@plans(
    "what_has_begun_neither_moves_nor_is_withdrawn",
)
class MovesWhatHasBegun(MemoryPlans):
    def move(self, occurrences, now):
        super().move(occurrences, now)
        with self._transaction() as open_:
            for run in [run for run in open_.live() if run.has_begun and run.occurrence]:
                open_.changes.runs[run.id] = replace(run, revision=run.revision + 1)


@plans(
    "what_a_worker_is_about_to_begin_is_only_counted_up",
)
class LeavesWorkersUnaware(OwnMove):
    def after(self, before, run):
        return before if run.status in {WorkflowStatus.READY, WorkflowStatus.RUNNING} else run


@plans(
    "a_move_changes_nothing_else_but_the_words_for_people",
    "a_reserved_start_follows_its_occurrence",
    "who_read_a_start_before_it_was_moved_or_withdrawn_is_stale",
)
class MovesWithoutCounting(OwnMove):
    def after(self, before, run):
        is_held = run.status is WorkflowStatus.WAITING
        return replace(run, revision=before.revision) if is_held else run


@plans(
    "a_move_goes_with_the_transaction_that_made_it",
)
class MovesAtOnce(MemoryPlans):
    def move(self, occurrences, now):
        with self._transaction() as open_:
            super().move(occurrences, now)
            open_.tables.commit(open_.changes)
