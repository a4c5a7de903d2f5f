"""Inserts that give or store other than what was given."""

from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import storage


@storage(
    "a_thousand_runs_are_inserted_at_once",
    "insert_gives_the_runs_in_the_order_given",
)
class GivesInsertedOfOtherOrder(MemoryStorage):
    def insert(self, runs):
        given = super().insert(runs)
        return sorted(given, key=lambda run: run.run_key or "")


@storage(
    "insert_of_nothing_is_nothing",
)
class CannotInsertNothing(MemoryStorage):
    def insert(self, runs):
        return [super().insert(runs)[0], *super().insert(runs)[1:]]


@storage(
    "a_thousand_runs_are_inserted_at_once",
    "many_moves_are_stored_at_once_each_as_it_says",
)
class TakesFewAtOnce(MemoryStorage):
    def insert(self, runs):
        assert len(runs) < 1_000
        return super().insert(runs)


@storage(
    "fewer_waiters_than_the_limit_means_that_there_are_no_more",
    "insert_gives_the_runs_in_the_order_given",
    "many_moves_are_stored_at_once_each_as_it_says",
    "one_stale_move_undoes_the_whole_call",
    "runs_without_a_key_are_many",
    "two_who_wake_side_by_side_wake_each_run_once",
)
class TakesNoKeyForOne(MemoryStorage):
    def insert(self, runs):
        given = super().insert(runs)
        first = next((run for run in given if not (run.run_key or run.occurrence)), None)
        return [run if run.run_key or run.occurrence else first for run in given]
