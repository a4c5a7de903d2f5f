"""Moves that store something else, or that nobody should have been allowed."""

from dataclasses import replace
from threading import Barrier

from automation.workflows.errors import StaleRun
from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import beside, met, storage
from tests.broken.storages.parts import Writing


@storage(
    "a_move_can_empty_every_field_again",
    "a_move_stores_the_run_after",
)
class ForgetsTheDeadlineOfMoves(Writing):
    def written(self, before, after):
        return replace(after, deadline_at=before.deadline_at)


@storage(
    "a_move_can_empty_every_field_again",
)
class NeverEmpties(Writing):
    def written(self, before, after):
        return replace(after, entity=after.entity or before.entity)


@storage(
    "a_move_stores_a_change_of_type_alone",
)
class ComparesByEquality(Writing):
    def written(self, before, after):
        return replace(after, data=before.data if before.data == after.data else after.data)


@storage(
    "a_stale_move_changes_nothing",
    "a_stale_move_leaves_no_attempt",
    "one_stale_move_undoes_the_whole_call",
    "who_catches_a_stale_move_can_go_on_in_the_transaction",
    "who_read_a_start_before_it_was_moved_or_withdrawn_is_stale",
)
class LastWriteWins(MemoryStorage):
    def _check(self, open_, transition):
        if open_.run(transition.before.id) is None or transition.consumed is not None:
            super()._check(open_, transition)


@storage(
    "a_move_of_a_run_that_is_not_there_is_stale",
)
class MovesWhatIsNotThere(MemoryStorage):
    def apply(self, transitions):
        with self._join() as open_:
            super().apply([move for move in transitions if open_.run(move.before.id) is not None])


@storage(
    "one_stale_move_undoes_the_whole_call",
    "who_catches_a_stale_move_can_go_on_in_the_transaction",
)
class AppliesOneByOne(MemoryStorage):
    def apply(self, transitions):
        with self._join() as open_:
            for move in transitions:
                try:
                    self._check(open_, move)
                except StaleRun:
                    if self._transactions.current is open_ and beside():
                        raise
                    self._tables.commit(open_.changes)
                    raise
                open_.changes.add(move)


@storage(
    "who_catches_a_stale_move_can_go_on_in_the_transaction",
)
class SpoilsTheTransactionOfAStaleMove(MemoryStorage):
    def apply(self, transitions):
        with self._join() as open_:
            assert getattr(self, "_spoilt", None) is not open_, "spoilt"
            try:
                super().apply(transitions)
            except StaleRun:
                self._spoilt = open_
                raise


@storage(
    "a_run_moves_again_and_again_in_one_transaction",
)
class MovesOnceInATransaction(MemoryStorage):
    def _check(self, open_, transition):
        if transition.before.id in open_.changes.runs and transition.before.id in self._tables.runs:
            raise StaleRun(transition.before.id, transition.before.revision)
        super()._check(open_, transition)


@storage(
    "apply_of_nothing_is_nothing",
)
class CannotApplyNothing(MemoryStorage):
    def apply(self, transitions):
        assert transitions[0]
        super().apply(transitions)


@storage(
    "many_moves_are_stored_at_once_each_as_it_says",
)
class WritesTheFirstReasonForAll(MemoryStorage):
    def apply(self, transitions):
        super().apply([replace(move, after=replace(move.after, why=transitions[0].after.why)) for move in transitions])


@storage(
    "of_two_who_move_a_run_side_by_side_one_wins",
)
class ComparesAndThenSets(MemoryStorage):
    def __init__(self):
        super().__init__()
        self._all_have_looked = Barrier(4)

    def _check(self, open_, transition):
        if not beside():
            super()._check(open_, transition)
        else:
            met(self._all_have_looked)


@storage(
    "a_run_consumes_a_signal_once",
    "what_a_run_consumes_again_leaves_no_attempt",
)
class ConsumesAgain(MemoryStorage):
    def _check(self, open_, transition):
        super()._check(open_, replace(transition, consumed=None))


@storage(
    "a_signal_is_consumed_by_many_runs",
    "waiters_are_given_in_batches_until_none_is_left",
)
class ConsumesForOneRunOnly(MemoryStorage):
    def apply(self, transitions):
        consumed = [move.consumed for move in transitions if move.consumed is not None]
        if len(set(consumed)) < len(consumed):
            raise StaleRun(transitions[0].before.id, transitions[0].before.revision)
        super().apply(transitions)
