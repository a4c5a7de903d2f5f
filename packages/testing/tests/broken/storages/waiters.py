"""Signals that come after the wait and wake too many, too few, or twice."""

from dataclasses import replace
from threading import Barrier

from automation.workflows.engine.memory.mailbox import MemoryMailbox
from automation.workflows.runs.values import WorkflowStatus
from tests.broken.storages.intact import beside, mailbox, met


@mailbox(
    "both_sides_agree_with_the_guards_of_a_wait",
)
class IgnoresTheBoundOfSending(MemoryMailbox):
    def waiters(self, signal, limit):
        return super().waiters(signal, limit) or [
            each
            for each in self._waiting(signal)
            if each.wait.sent_after is not None and each.wait.sent_after > signal.sent_at
        ]

    def _waiting(self, signal):
        with self._transaction() as open_:
            return [run for run in open_.live() if run.wait is not None and run.wait.signal == signal.name]


@mailbox(
    "only_waiting_runs_are_waiters",
)
class WakesWhoIsPaused(MemoryMailbox):
    def waiters(self, signal, limit):
        found = list(super().waiters(signal, limit))
        with self._transaction() as open_:
            return found + [
                run
                for run in open_.live()
                if run.status is WorkflowStatus.PAUSED and run.wait and run.wait.signal == signal.name
            ]


@mailbox(
    "fewer_waiters_than_the_limit_means_that_there_are_no_more",
    "waiters_are_given_in_batches_until_none_is_left",
)
class WakesMoreThanAsked(MemoryMailbox):
    def waiters(self, signal, limit):
        return super().waiters(signal, limit * 3)


@mailbox(
    "fewer_waiters_than_the_limit_means_that_there_are_no_more",
    "waiters_are_given_in_batches_until_none_is_left",
)
class CutsCandidatesAtTheLimit(MemoryMailbox):
    def waiters(self, signal, limit):
        with self._transaction() as open_:
            waiting = [run for run in open_.live() if run.wait is not None and run.wait.signal == signal.name]
            first = {run.id for run in waiting[:limit]}
        return [run for run in super().waiters(signal, limit) if run.id in first]


@mailbox(
    "waiters_are_given_whole",
)
class GivesWaitersInPart(MemoryMailbox):
    def waiters(self, signal, limit):
        return [replace(run, entity=None) for run in super().waiters(signal, limit)]


@mailbox(
    "a_run_that_moves_on_is_no_longer_found_by_its_old_wait",
    "both_sides_agree_with_the_rule_for_waits",
)
class RemembersTheFirstWait(MemoryMailbox):
    def waiters(self, signal, limit):
        return [run for run in super().waiters(signal, limit) if run.wait.signal != "sent" or run.revision == 0]


@mailbox(
    "two_who_wake_side_by_side_wake_each_run_once",
)
class WakesWithoutALock(MemoryMailbox):
    def __init__(self, *given):
        super().__init__(*given)
        self._both_have_looked = Barrier(2)

    def lock(self, name):
        if not beside() or self._current() is None or name != "paid":
            super().lock(name)

    def waiters(self, signal, limit):
        if not beside():
            return super().waiters(signal, limit)
        with self._transaction() as open_:
            found = [run for run in open_.live() if run.wait is not None][:limit]
        met(self._both_have_looked)
        return found
