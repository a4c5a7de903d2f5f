"""Claims about reserved starts: they follow their occurrence until they begin, and then nothing touches them."""

# ruff: noqa: PT012 (a transaction that raises is itself the block under test)

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from automation.testing.contracts.builders import NOW, a_reserved_start, an_occurrence, moved
from automation.testing.contracts.subject import StorageSubject
from automation.workflows.errors import StaleRun
from automation.workflows.ports import Storage
from automation.workflows.runs.values import Occurrence, Pause, Run, WorkflowStatus

__all__ = ["PlansClaims"]

LATER = NOW + timedelta(minutes=5)
OFFSETS = {
    "none": timedelta(0),
    "before": -timedelta(minutes=60),
    "after": timedelta(days=3, microseconds=1),
    "long_before": -timedelta(days=800, seconds=1, microseconds=999_999),
}


class PlansClaims(StorageSubject):
    """The guarantees of the Plans port."""

    def test_a_start_is_reserved_once_for_its_occurrence(self, storage: Storage) -> None:
        first, again = a_reserved_start(an_occurrence()), a_reserved_start(an_occurrence())
        assert first.occurrence is not None
        again = replace(again, occurrence=first.occurrence, name=first.name)
        other = a_reserved_start(an_occurrence())

        with storage.transaction():
            storage.plans.reserve([first])
            storage.plans.reserve([again, other])

        assert self.stored(storage, first.id) == first
        assert self.stored(storage, other.id) == other
        assert storage.load(again.id) is None

    @pytest.mark.parametrize("offset", OFFSETS)
    def test_a_reserved_start_follows_its_occurrence(self, storage: Storage, offset: str) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence, OFFSETS[offset]))
        edited = _postponed(occurrence, timedelta(hours=7, microseconds=3))

        self.move(storage, edited)

        assert edited.at is not None
        stored = self.stored(storage, run.id)
        assert stored.wake_at == stored.next_at == edited.at + OFFSETS[offset]
        assert stored.revision == run.revision + 1
        assert stored.occurrence == edited

    def test_a_move_changes_nothing_else_but_the_words_for_people(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence))
        edited = _postponed(occurrence)

        self.move(storage, edited)

        stored = self.stored(storage, run.id)
        assert stored == replace(
            run,
            revision=run.revision + 1,
            wake_at=edited.at,
            next_at=edited.at,
            occurrence=edited,
            updated_at=LATER,
            why=stored.why,
        )
        assert stored.why.startswith("not begun")

    def test_all_workflows_of_an_occurrence_move_each_by_its_own_offset(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        runs = {
            name: self.put(storage, a_reserved_start(occurrence, offset, name=name)) for name, offset in OFFSETS.items()
        }
        edited = _postponed(occurrence)

        self.move(storage, edited)

        assert edited.at is not None
        for name, run in runs.items():
            assert self.stored(storage, run.id).wake_at == edited.at + OFFSETS[name]

    def test_many_occurrences_move_at_once_each_to_its_own_date(self, storage: Storage) -> None:
        occurrences = [an_occurrence() for _ in range(300)]
        with storage.transaction():
            runs = storage.insert([a_reserved_start(occurrence, OFFSETS["before"]) for occurrence in occurrences])
        edited = [_postponed(occurrence, timedelta(minutes=n)) for n, occurrence in enumerate(occurrences, start=1)]

        self.move(storage, *edited)

        for run, occurrence in zip(runs, edited, strict=True):
            assert occurrence.at is not None
            assert self.stored(storage, run.id).wake_at == occurrence.at + OFFSETS["before"]

    def test_a_start_moved_into_the_past_is_due(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence))
        assert self.due_ids(storage) == []

        self.move(storage, _postponed(occurrence, -timedelta(days=2)))

        assert self.due_ids(storage) == [run.id]

    def test_a_start_that_waits_for_its_condition_alone_is_looked_at_on_the_new_date(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence, next_at=None))
        edited = _postponed(occurrence)

        self.move(storage, edited)

        assert self.stored(storage, run.id).next_at == edited.at

    def test_a_paused_start_moves_and_stays_paused(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        paused = a_reserved_start(occurrence, status=WorkflowStatus.PAUSED, pause=Pause.PERSON, next_at=None)
        run = self.put(storage, paused)
        edited = _postponed(occurrence, -timedelta(days=2))

        self.move(storage, edited)

        stored = self.stored(storage, run.id)
        assert (stored.status, stored.pause) == (WorkflowStatus.PAUSED, Pause.PERSON)
        assert stored.wake_at == edited.at
        assert self.due_ids(storage) == []

    def test_a_start_paused_for_its_code_is_looked_at_again_when_it_was_to_be(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        paused = a_reserved_start(occurrence, status=WorkflowStatus.PAUSED, pause=Pause.MISSING, next_at=LATER)
        run = self.put(storage, replace(paused, missing_since=NOW, why="its workflow is not in this code"))
        edited = _postponed(occurrence, timedelta(days=2))

        self.move(storage, edited)

        stored = self.stored(storage, run.id)
        assert (stored.pause, stored.missing_since, stored.next_at) == (Pause.MISSING, NOW, LATER)
        assert stored.why == "its workflow is not in this code"
        assert stored.wake_at == edited.at

    def test_what_has_begun_neither_moves_nor_is_withdrawn(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence, data={}))

        self.move(storage, _postponed(occurrence))
        self.withdraw(storage, occurrence.id)

        assert self.stored(storage, run.id) == run

    @pytest.mark.parametrize("status", [each for each in WorkflowStatus if each.is_terminal])
    def test_what_has_ended_neither_moves_nor_is_withdrawn(self, storage: Storage, status: WorkflowStatus) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence, status=status))

        self.move(storage, _postponed(occurrence))
        self.withdraw(storage, occurrence.id)

        assert self.stored(storage, run.id) == run
        assert list(storage.plans.reserved([occurrence.id])) == []

    @pytest.mark.parametrize("status", [WorkflowStatus.READY, WorkflowStatus.RUNNING])
    def test_what_a_worker_is_about_to_begin_is_only_counted_up(self, storage: Storage, status: WorkflowStatus) -> None:
        """So that the worker, which has looked at the event as it was, finds out at its own write."""
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence, status=status))

        self.move(storage, _postponed(occurrence))
        moved = self.stored(storage, run.id)
        self.withdraw(storage, occurrence.id)
        withdrawn = self.stored(storage, run.id)

        assert moved == replace(run, revision=run.revision + 1, updated_at=moved.updated_at)
        assert withdrawn == replace(run, revision=run.revision + 2, updated_at=withdrawn.updated_at)
        assert list(storage.plans.reserved([occurrence.id])) == [withdrawn]

    def test_other_occurrences_are_left_alone(self, storage: Storage) -> None:
        occurrence = an_occurrence(id="one")
        run = self.put(storage, a_reserved_start(occurrence))

        for other in (an_occurrence(id="two"), an_occurrence(id="One"), an_occurrence(id="one ")):
            self.move(storage, _postponed(other))
            self.withdraw(storage, other.id)

        assert self.stored(storage, run.id) == run

    def test_withdrawing_cancels_and_says_why(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence))

        self.withdraw(storage, occurrence.id, reason="the date was cleared")

        stored = self.stored(storage, run.id)
        assert stored.status is WorkflowStatus.CANCELLED
        assert stored.why == "the date was cleared"
        assert stored.next_at is None
        assert stored.finished_at == stored.updated_at == LATER
        assert stored.revision == run.revision + 1

    def test_a_paused_start_is_withdrawn(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        paused = a_reserved_start(occurrence, status=WorkflowStatus.PAUSED, pause=Pause.MISSING, missing_since=NOW)
        run = self.put(storage, paused)

        self.withdraw(storage, occurrence.id)

        stored = self.stored(storage, run.id)
        assert stored.status is WorkflowStatus.CANCELLED
        assert (stored.pause, stored.missing_since, stored.next_at) == (Pause.NONE, None, None)

    def test_many_occurrences_are_withdrawn_at_once(self, storage: Storage) -> None:
        occurrences = [an_occurrence() for _ in range(300)]
        with storage.transaction():
            runs = storage.insert([a_reserved_start(occurrence) for occurrence in occurrences])

        self.withdraw(storage, *(occurrence.id for occurrence in occurrences))

        assert {self.stored(storage, run.id).status for run in runs} == {WorkflowStatus.CANCELLED}

    @pytest.mark.parametrize("verb", ["move", "withdraw"])
    def test_who_read_a_start_before_it_was_moved_or_withdrawn_is_stale(self, storage: Storage, verb: str) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence))

        if verb == "move":
            self.move(storage, _postponed(occurrence))
        else:
            self.withdraw(storage, occurrence.id)

        with pytest.raises(StaleRun), storage.transaction():
            storage.apply([moved(run, status=WorkflowStatus.READY)])

    @pytest.mark.parametrize("verb", ["move", "withdraw"])
    def test_a_move_goes_with_the_transaction_that_made_it(self, storage: Storage, verb: str) -> None:
        occurrence = an_occurrence()
        run = self.put(storage, a_reserved_start(occurrence))

        with pytest.raises(ZeroDivisionError), storage.transaction():
            if verb == "move":
                storage.plans.move([_postponed(occurrence)], LATER)
            else:
                storage.plans.withdraw([occurrence.id], "why", LATER)
            raise ZeroDivisionError

        assert self.stored(storage, run.id) == run

    def test_reserved_gives_what_has_not_begun_and_not_ended(self, storage: Storage) -> None:
        occurrence, other, unasked = an_occurrence(), an_occurrence(), an_occurrence()
        expected = [
            self.put(storage, a_reserved_start(occurrence, name="waiting")),
            self.put(storage, a_reserved_start(occurrence, name="paused", status=WorkflowStatus.PAUSED)),
            self.put(storage, a_reserved_start(other)),
        ]
        self.put(storage, a_reserved_start(occurrence, name="begun", data={}))
        self.put(storage, a_reserved_start(occurrence, name="called off", status=WorkflowStatus.CANCELLED))
        self.put(storage, a_reserved_start(unasked))

        reserved = storage.plans.reserved([occurrence.id, other.id])

        assert _by_id(reserved) == _by_id(expected)

    def test_nothing_is_asked_of_no_occurrences(self, storage: Storage) -> None:
        run = self.put(storage, a_reserved_start(an_occurrence()))

        self.move(storage)
        self.withdraw(storage)

        assert list(storage.plans.reserved([])) == []
        assert self.stored(storage, run.id) == run

    # One statement: guarantee 3

    @pytest.mark.parametrize("size", [1, 100])
    @pytest.mark.parametrize("verb", ["move", "withdraw", "reserved"])
    def test_a_call_is_one_statement_whatever_the_number(self, storage: Storage, verb: str, size: int) -> None:
        occurrences = [an_occurrence() for _ in range(size)]
        with storage.transaction():
            storage.insert([a_reserved_start(occurrence) for occurrence in occurrences])
        ids = [occurrence.id for occurrence in occurrences]

        calls: dict[str, Callable[[], object]] = {
            "move": lambda: storage.plans.move([_postponed(occurrence) for occurrence in occurrences], LATER),
            "withdraw": lambda: storage.plans.withdraw(ids, "called off", LATER),
            "reserved": lambda: storage.plans.reserved(ids),
        }

        assert self.sent_by(storage, calls[verb]) == 1

    @pytest.mark.parametrize("size", [1, 10])
    def test_starts_are_reserved_by_one_statement(self, storage: Storage, size: int) -> None:
        """As long as they fit into one: a database takes only so many values at once."""
        runs = [a_reserved_start(an_occurrence()) for _ in range(size)]

        assert self.sent_by(storage, lambda: storage.plans.reserve(runs)) == 1

    def sent_by(self, storage: Storage, call: Callable[[], object]) -> int:
        """Return how many statements a call sends inside a transaction; skips the test where there are none."""
        statements = self.statements(storage)
        if statements is None:
            pytest.skip("This storage sends no statements to count: statements() gives None.")
        with storage.transaction(), statements as sent:
            call()
            return len(sent)

    def move(self, storage: Storage, *occurrences: Occurrence) -> None:
        """Move reserved starts in a transaction of their own."""
        with storage.transaction():
            storage.plans.move(occurrences, LATER)

    def withdraw(self, storage: Storage, *occurrence_ids: str, reason: str = "called off") -> None:
        """Withdraw reserved starts in a transaction of their own."""
        with storage.transaction():
            storage.plans.withdraw(occurrence_ids, reason, LATER)


def _postponed(occurrence: Occurrence, by: timedelta = timedelta(hours=1)) -> Occurrence:
    assert occurrence.at is not None
    return replace(occurrence, at=occurrence.at + by)


def _by_id(runs: object) -> dict[object, Run]:
    return {run.id: run for run in runs}  # type: ignore[attr-defined]
