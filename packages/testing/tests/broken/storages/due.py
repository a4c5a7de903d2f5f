"""Lookups that find what is not due, or miss what is."""

from dataclasses import replace
from datetime import timedelta

from automation.workflows.memory import MemoryStorage
from automation.workflows.runs.values import WorkflowStatus
from tests.broken.storages.intact import storage


@storage(
    "due_gives_no_more_than_the_limit_and_the_oldest_of_them",
    "due_gives_what_is_due_oldest_first",
)
class NewestFirst(MemoryStorage):
    def due(self, now, limit):
        return super().due(now, limit)[::-1]


@storage(
    "a_key_met_twice_in_one_insert_is_stored_once",
    "a_transaction_sees_what_it_wrote_itself",
    "what_is_due_this_very_microsecond_is_due",
)
class AMicrosecondLate(MemoryStorage):
    def due(self, now, limit):
        return super().due(now - timedelta(microseconds=1), limit)


@storage(
    "due_gives_no_more_than_the_limit_and_the_oldest_of_them",
)
class WithoutALimit(MemoryStorage):
    def due(self, now, limit):
        return super().due(now, 1_000_000)


@storage(
    "due_gives_whole_runs",
)
class GivesRunsInPart(MemoryStorage):
    def due(self, now, limit):
        return [replace(run, wake=None) for run in super().due(now, limit)]


@storage(
    "a_live_run_is_due_by_its_time_alone",
)
class KnowsNoLostWorkers(MemoryStorage):
    def due(self, now, limit):
        return [run for run in super().due(now, limit) if run.status is not WorkflowStatus.RUNNING]


@storage(
    "a_run_that_has_ended_is_never_due",
)
class KeepsTheTimesOfWhatHasEnded(MemoryStorage):
    def due(self, now, limit):
        ended = [run for run in self._tables.runs.values() if run.status.is_terminal]
        return [*super().due(now, limit), *ended][:limit]


@storage(
    "upcoming_gives_what_waits_for_a_near_time",
)
class WakesWorkersEarly(MemoryStorage):
    def upcoming(self, after, until, limit):
        runs = [run for run in self._tables.runs.values() if run.next_at and after < run.next_at <= until]
        return [(run.id, run.next_at) for run in sorted(runs, key=lambda run: run.next_at)][:limit]
