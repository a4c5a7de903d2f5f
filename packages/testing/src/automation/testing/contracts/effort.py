"""Claims about what lookups cost: what has ended is not looked at."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from automation.testing.contracts.builders import NOW, a_reserved_start, a_run, a_signal, a_waiting_run, an_occurrence
from automation.testing.contracts.builders import moved as a_move
from automation.testing.contracts.subject import StorageSubject
from automation.workflows.ports import Storage
from automation.workflows.runs.values import StandingWait, WorkflowStatus

__all__ = ["EffortClaims"]

_ENDED = 400
"""Runs that have ended: enough for a query planner to prefer an index to reading them all."""
_TOLERATED = _ENDED // 10
"""A tree of more rows may be a level deeper; who looks at what has ended looks at each of them once at least."""
_LATER = NOW + timedelta(hours=1)
_LOOKUPS = ("due", "upcoming", "load", "move", "undelivered", "waiters", "matching", "reserved")


class EffortClaims(StorageSubject):
    """Guarantee 5 of the Storage port."""

    @pytest.mark.parametrize("lookup", _LOOKUPS)
    def test_what_has_ended_costs_a_lookup_nothing(self, storage: Storage, lookup: str) -> None:
        """With finished runs that were due, waited and were reserved once, and without."""
        call = self._lookups(storage)[lookup]

        alone = self.effort(storage, call)
        self._put_what_has_ended(storage)
        among_many = self.effort(storage, call)

        assert among_many - alone < _TOLERATED, f"{lookup}: {alone} without finished runs, {among_many} with {_ENDED}."

    def effort(self, storage: Storage, lookup: Callable[[], object]) -> int:
        """Return what a lookup costs that is not the first of its kind; skips the test where that cannot be told."""
        with storage.transaction():
            lookup()
        with storage.transaction():
            effort = self.effort_of(storage, lookup)
        if effort is None:
            pytest.skip("What a lookup costs cannot be told: effort_of() gives None.")
        return effort

    def _lookups(self, storage: Storage) -> dict[str, Callable[[], object]]:
        run = self.put(storage, a_run())
        waiting = self.put(storage, a_waiting_run(StandingWait(signal="paid", deadline_at=_LATER)))
        reserved = self.put(storage, a_reserved_start(an_occurrence()))
        signal = self.delivered(storage, a_signal())
        self.post(storage, a_signal("sent"))
        wait, occurrence = waiting.wait, reserved.occurrence
        assert wait is not None
        assert occurrence is not None
        mailbox, plans = storage.mailbox, storage.plans
        return {
            "due": lambda: storage.due(NOW, 10),
            "upcoming": lambda: storage.upcoming(NOW, _LATER, 10),
            "load": lambda: storage.load(run.id),
            "move": lambda: storage.apply([a_move(self.stored(storage, run.id), current_step="weigh")]),
            "undelivered": lambda: mailbox.undelivered(10),
            "waiters": lambda: mailbox.waiters(signal, 10),
            "matching": lambda: mailbox.matching(waiting.id, wait),
            "reserved": lambda: plans.reserved([occurrence.id]),
        }

    def _put_what_has_ended(self, storage: Storage) -> None:
        once = [
            a_waiting_run(StandingWait(signal="paid", deadline_at=NOW))
            if number % 2
            else a_reserved_start(an_occurrence(at=NOW))
            for number in range(_ENDED)
        ]
        with storage.transaction():
            storage.insert(once)
            storage.apply(
                [
                    a_move(
                        run,
                        status=WorkflowStatus.COMPLETED,
                        data={},
                        wait=None,
                        wake_at=None,
                        next_at=None,
                        finished_at=NOW,
                    )
                    for run in once
                ]
            )
