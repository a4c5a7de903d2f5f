"""Keys and occurrences that are taken for others, or for none."""

from dataclasses import replace
from threading import Barrier

from automation.workflows.memory import MemoryStorage
from automation.workflows.runs.values import Run, WorkflowStatus
from tests.broken.storages.intact import beside, met, storage

_FEW = 20
"""Runs that are compared one by one."""


@storage(
    "a_key_is_taken_whatever_the_version",
    "a_key_met_twice_in_one_insert_is_stored_once",
    "a_taken_key_gives_the_run_as_it_is_now",
    "a_taken_key_gives_the_run_that_has_it",
)
class WithoutKeys(MemoryStorage):
    def _stored(self, open_, run):
        return None if run.run_key is not None else super()._stored(open_, run)


@storage(
    "a_start_is_reserved_once_for_its_occurrence",
    "a_taken_key_gives_the_run_as_it_is_now",
    "an_occurrence_starts_a_workflow_once",
)
class GivesTheKeysFirstState(MemoryStorage):
    def _stored(self, open_, run):
        found = super()._stored(open_, run)
        return found and run.run_key and replace(found, status=WorkflowStatus.READY, next_at=found.created_at)


class Keyed(MemoryStorage):
    """Compares runs, as long as they are few, by what `as_compared` makes of them."""

    def as_compared(self, run: Run) -> Run:
        return run

    def _stored(self, open_, run):
        if len(self._tables.runs) + len(open_.changes.runs) > _FEW:
            return super()._stored(open_, run)
        for other in [*self._tables.runs.values(), *open_.changes.runs.values()]:
            one, another = self.as_compared(run), self.as_compared(open_.run(other.id))
            if _key(one) and _key(one) == _key(another):
                return open_.run(other.id)
            if one.occurrence and _occurrence(one) == _occurrence(another):
                return open_.run(other.id)
        return None


def _key(run: Run) -> object:
    return None if run.run_key is None else (run.name, run.run_key)


def _occurrence(run: Run) -> object:
    return run.occurrence and (run.occurrence.id, run.occurrence.generation, run.name)


@storage(
    "a_key_is_taken_whatever_the_version",
)
class KeepsKeysOfVersionsApart(Keyed):
    def as_compared(self, run):
        return replace(run, run_key=run.run_key and f"{run.version}:{run.run_key}")


@storage(
    "names_compare_bytewise",
    "the_same_key_of_another_workflow_is_another_key",
)
class SharesKeysBetweenWorkflows(Keyed):
    def as_compared(self, run):
        return run if run.occurrence else replace(run, name="any")


@storage(
    "keys_compare_bytewise",
)
class FoldsKeys(Keyed):
    def as_compared(self, run):
        return replace(run, run_key=run.run_key and run.run_key.strip().lower())


@storage(
    "names_compare_bytewise",
)
class FoldsNames(Keyed):
    def as_compared(self, run):
        return replace(run, name=run.name.strip().lower())


@storage(
    "a_key_met_twice_in_one_insert_is_stored_once",
)
class LooksAtWhatWasThereBefore(MemoryStorage):
    def insert(self, runs):
        return [super(LooksAtWhatWasThereBefore, self).insert([run])[0] for run in runs[:1]] + [
            self._unlooked(run) if run.run_key == runs[0].run_key else super(type(self), self).insert([run])[0]
            for run in runs[1:]
        ]

    def _unlooked(self, run):
        if run.run_key is None:
            return super().insert([run])[0]
        with self._join() as open_:
            open_.changes.runs[run.id] = run
        return run


@storage(
    "a_start_is_reserved_once_for_its_occurrence",
    "an_occurrence_starts_a_workflow_once",
)
class StartsAgainForAnOccurrence(Keyed):
    def as_compared(self, run):
        return replace(run, occurrence=None)


@storage(
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
    "an_occurrence_starts_several_workflows",
)
class StartsOneWorkflowForAnOccurrence(Keyed):
    def as_compared(self, run):
        return replace(run, name="any", run_key=None) if run.occurrence else run


@storage(
    "another_occurrence_starts_the_workflow_again",
)
class FoldsOccurrences(Keyed):
    def as_compared(self, run):
        return replace(run, occurrence=run.occurrence and replace(run.occurrence, id=run.occurrence.id.lower()))


@storage(
    "another_generation_of_an_occurrence_starts_the_workflow_again",
)
class WithoutGenerations(Keyed):
    def as_compared(self, run):
        return replace(run, occurrence=run.occurrence and replace(run.occurrence, generation=1))


@storage(
    "two_who_insert_the_same_key_side_by_side_get_one_run",
)
class LooksAndThenInserts(MemoryStorage):
    def __init__(self):
        super().__init__()
        self._all_have_looked = Barrier(4)

    def _stored(self, open_, run):
        if not (beside() and run.run_key):
            return super()._stored(open_, run)
        met(self._all_have_looked)
        return None
