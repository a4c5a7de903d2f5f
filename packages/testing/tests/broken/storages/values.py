"""Runs that come back other than they were stored."""

from dataclasses import replace
from datetime import timedelta, timezone

from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import storage
from tests.broken.storages.parts import Reading, Writing, sorted_json


@storage(
    "a_move_stores_the_run_after",
    "a_run_comes_back_equal_in_every_field",
    "a_start_paused_for_its_code_is_looked_at_again_when_it_was_to_be",
)
class ForgetsWhoIsMissing(Reading):
    def read(self, run):
        return replace(run, missing_since=None)


@storage(
    "a_run_with_nothing_but_the_necessary_comes_back_equal",
)
class BeginsWhatHasNot(Reading):
    def read(self, run):
        return replace(run, data={}) if run.data is None and run.occurrence is None else run


@storage(
    "times_come_back_aware_and_in_utc",
)
class LocalTimes(Reading):
    def read(self, run):
        elsewhere = timezone(timedelta(hours=2))
        return replace(run, wake_at=run.wake_at and run.wake_at.astimezone(elsewhere))


@storage(
    "json_comes_back_equal_and_of_the_same_type",
)
class SortedJson(Reading):
    def read(self, run):
        return replace(run, data=sorted_json(run.data))


@storage(
    "any_text_comes_back_equal",
)
class CutTexts(MemoryStorage):
    def insert(self, runs):
        return super().insert([replace(run, why=run.why.split("\x00")[0]) for run in runs])


@storage(
    "a_move_stores_any_text_equal",
)
class CutTextsOfMoves(Writing):
    def written(self, before, after):
        return replace(after, error=after.error.split("\x00")[0])


@storage(
    "an_inner_transaction_goes_with_the_outer_one",
    "an_interrupt_undoes_the_transaction_like_any_error",
    "load_of_an_unknown_id_is_none",
)
class RaisesForTheUnknown(MemoryStorage):
    def load(self, run_id):
        found = super().load(run_id)
        if found is None and not self._tables.runs and self._transactions.current is None:
            raise KeyError(run_id)
        return found
