"""Claims about runs as rows: they come back equal, are unique where they must be, and change by compare-and-set."""

from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from automation.testing.contracts.builders import (
    NOW,
    a_run,
    a_signal,
    an_attempt,
    an_id,
    an_occurrence,
    moved,
)
from automation.testing.contracts.subject import StorageSubject
from automation.workflows.errors import StaleRun
from automation.workflows.ports import Storage
from automation.workflows.runs.values import (
    AttemptOutcome,
    EntityRef,
    Pause,
    Run,
    StandingWait,
    Wake,
    WakeKind,
    WorkflowStatus,
)

__all__ = ["HOSTILE_TEXTS", "JSON_VALUES", "RowClaims"]

HOSTILE_TEXTS = {
    "nul": "before\x00after",
    "lone_surrogate": "half \ud83d of a pair, \udc00 and the other",
    "substitute": "\x1a0000 \x1a\x1a \x1a",
    "controls": "".join(map(chr, range(32))),
    "four_bytes": "parcel \U0001f4e6 of \U0001d4aa",
    "right_to_left": "\u202eabc\u2066",
    "quotes": "'\"`\\%s%%{}$1; DROP TABLE x; --",
    "blanks": "  leading and trailing  \r\n",
    "long": "é" * 40_000,
    "noncharacters": "\ufffe\uffff\ufdd0",
}

DISTINCT_KEYS = {
    "case": ("Order", "order"),
    "trailing_blank": ("order", "order "),
    "accent": ("resume", "résumé"),
    "composition": ("caf\u00e9", "cafe\u0301"),
    "german": ("strasse", "straße"),
    "turkish": ("i", "\u0131"),
    "nul": ("a", "a\x00"),
    "zero": ("1", "01"),
}

JSON_VALUES = {
    "key_order": {"z": 1, "a": {"y": 2, "b": 3}, "": 4},
    "floats": [0.1, 1e22, 1.7976931348623157e308, 5e-324, -0.0, 1.0, 100.0],
    "integers": [2**70, -(2**63), 0],
    "kinds": [1, 1.0, True, None, "1", [], {}],
    "texts": HOSTILE_TEXTS,
    "deep": [[[[[[[[[[["deep"]]]]]]]]]]],
}


def _exactly(value: Any) -> str:
    """Tell 1 from 1.0 and True, and one order of keys from another."""
    return repr(value)


class RowClaims(StorageSubject):
    """Guarantees 2 to 6 of the Storage port."""

    def test_a_run_comes_back_equal_in_every_field(self, storage: Storage) -> None:
        """No field is left at its default, so a field that is not stored shows."""
        run = _a_full_run()

        self.put(storage, run)

        assert self.stored(storage, run.id) == run
        assert not [field.name for field in fields(run) if getattr(run, field.name) == getattr(a_run(), field.name)]

    def test_a_run_with_nothing_but_the_necessary_comes_back_equal(self, storage: Storage) -> None:
        run = a_run(data=None, next_at=None)

        self.put(storage, run)

        assert self.stored(storage, run.id) == run

    def test_times_come_back_aware_and_in_utc(self, storage: Storage) -> None:
        run = self.put(storage, a_run(wake_at=NOW + timedelta(microseconds=1)))

        stored = self.stored(storage, run.id)

        assert stored.wake_at is not None
        assert stored.wake_at.utcoffset() == timedelta(0)
        assert stored.wake_at - NOW == timedelta(microseconds=1)

    @pytest.mark.parametrize("kind", JSON_VALUES)
    def test_json_comes_back_equal_and_of_the_same_type(self, storage: Storage, kind: str) -> None:
        run = self.put(storage, a_run(data={"value": JSON_VALUES[kind]}))

        assert _exactly(self.stored(storage, run.id).data) == _exactly({"value": JSON_VALUES[kind]})

    @pytest.mark.parametrize("kind", HOSTILE_TEXTS)
    def test_any_text_comes_back_equal(self, storage: Storage, kind: str) -> None:
        text = HOSTILE_TEXTS[kind]
        run = a_run(error=text, why=text, run_key=text)

        self.put(storage, run)

        assert self.stored(storage, run.id) == run

    @pytest.mark.parametrize("kind", HOSTILE_TEXTS)
    def test_a_move_stores_any_text_equal(self, storage: Storage, kind: str) -> None:
        run = self.put(storage, a_run())
        move = moved(run, error=HOSTILE_TEXTS[kind], recorded=an_attempt(run, detail=HOSTILE_TEXTS[kind]))

        self.apply(storage, move)

        assert self.stored(storage, run.id) == move.after

    def test_load_of_an_unknown_id_is_none(self, storage: Storage) -> None:
        assert storage.load(an_id()) is None

    # Uniqueness: guarantee 3

    def test_insert_gives_the_runs_in_the_order_given(self, storage: Storage) -> None:
        runs = [a_run(), a_run(run_key="b"), a_run(occurrence=an_occurrence()), a_run(run_key="a"), a_run()]

        with storage.transaction():
            assert list(storage.insert(runs)) == runs

        assert [self.stored(storage, run.id) for run in runs] == runs

    def test_insert_of_nothing_is_nothing(self, storage: Storage) -> None:
        assert list(storage.insert([])) == []

    def test_a_thousand_runs_are_inserted_at_once(self, storage: Storage) -> None:
        runs = [a_run(run_key=str(number)) for number in range(1_000)]

        with storage.transaction():
            storage.insert(runs)
            assert list(storage.insert(runs)) == runs

    def test_a_taken_key_gives_the_run_that_has_it(self, storage: Storage) -> None:
        first = self.put(storage, a_run(run_key="order 7", data={"n": 1}))
        second = a_run(run_key="order 7", data={"n": 2})

        assert self.put(storage, second) == first
        assert storage.load(second.id) is None

    def test_a_taken_key_gives_the_run_as_it_is_now(self, storage: Storage) -> None:
        """Also when the newcomer has the same id, as ids made from the key have."""
        first = self.put(storage, a_run(run_key="order 7"))
        self.apply(storage, moved(first, status=WorkflowStatus.COMPLETED, next_at=None))

        assert self.put(storage, replace(first)).status is WorkflowStatus.COMPLETED
        assert self.put(storage, a_run(run_key="order 7")).status is WorkflowStatus.COMPLETED

    def test_a_key_is_taken_whatever_the_version(self, storage: Storage) -> None:
        first = self.put(storage, a_run(run_key="order 7", version="1"))

        assert self.put(storage, a_run(run_key="order 7", version="2")).id == first.id

    def test_the_same_key_of_another_workflow_is_another_key(self, storage: Storage) -> None:
        self.put(storage, a_run(name="parcel", run_key="order 7"))
        other = a_run(name="invoice", run_key="order 7")

        assert self.put(storage, other) == other

    def test_runs_without_a_key_are_many(self, storage: Storage) -> None:
        runs = [a_run(), a_run(), a_run()]

        with storage.transaction():
            assert list(storage.insert(runs)) == runs

    @pytest.mark.parametrize("kind", DISTINCT_KEYS)
    def test_keys_compare_bytewise(self, storage: Storage, kind: str) -> None:
        one, other = DISTINCT_KEYS[kind]
        first = self.put(storage, a_run(run_key=one))
        second = self.put(storage, a_run(run_key=other))

        assert first.id != second.id
        assert [self.stored(storage, run.id).run_key for run in (first, second)] == [one, other]

    @pytest.mark.parametrize("kind", DISTINCT_KEYS)
    def test_names_compare_bytewise(self, storage: Storage, kind: str) -> None:
        one, other = DISTINCT_KEYS[kind]
        first = self.put(storage, a_run(name=one, run_key="k"))
        second = self.put(storage, a_run(name=other, run_key="k"))

        assert first.id != second.id
        assert [self.stored(storage, run.id).name for run in (first, second)] == [one, other]

    def test_a_key_met_twice_in_one_insert_is_stored_once(self, storage: Storage) -> None:
        first, second = a_run(run_key="order 7"), a_run(run_key="order 7")

        with storage.transaction():
            given = storage.insert([first, second])

        assert len({run.id for run in given}) == 1
        assert len(self.due_ids(storage)) == 1

    def test_an_occurrence_starts_a_workflow_once(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        first = self.put(storage, a_run(occurrence=occurrence))

        assert self.put(storage, a_run(occurrence=occurrence)) == first

    def test_an_occurrence_starts_several_workflows(self, storage: Storage) -> None:
        occurrence = an_occurrence()
        self.put(storage, a_run(name="parcel", occurrence=occurrence))
        other = a_run(name="invoice", occurrence=occurrence)

        assert self.put(storage, other) == other

    def test_another_occurrence_starts_the_workflow_again(self, storage: Storage) -> None:
        self.put(storage, a_run(occurrence=an_occurrence(id="one")))
        other = a_run(occurrence=an_occurrence(id="One"))

        assert self.put(storage, other) == other

    def test_another_generation_of_an_occurrence_starts_the_workflow_again(self, storage: Storage) -> None:
        first = self.put(storage, a_run(occurrence=an_occurrence(id="one", generation=1)))
        second = self.put(storage, a_run(occurrence=an_occurrence(id="one", generation=2)))

        assert first.id != second.id

    def test_two_who_insert_the_same_key_side_by_side_get_one_run(self, storage: Storage) -> None:
        runs = [a_run(run_key="order 7") for _ in range(4)]

        given = [thread.result() for thread in [self.beside(partial(self.put, storage, run)) for run in runs]]

        assert len({run.id for run in given}) == 1
        assert len([run for run in runs if storage.load(run.id)]) == 1

    # Compare and set: guarantee 2

    def test_a_move_stores_the_run_after(self, storage: Storage) -> None:
        run = self.put(storage, a_run())
        move = moved(run, **_changes_of(_a_full_run(), keep={"id", "revision", "created_at", "run_key", "occurrence"}))

        self.apply(storage, move)

        assert self.stored(storage, run.id) == move.after

    def test_a_move_can_empty_every_field_again(self, storage: Storage) -> None:
        full = self.put(storage, _a_full_run())
        bare = _changes_of(
            a_run(data=None, next_at=None), keep={"id", "revision", "created_at", "run_key", "occurrence"}
        )
        move = moved(full, **bare)

        self.apply(storage, move)

        assert self.stored(storage, full.id) == move.after

    @pytest.mark.parametrize("value", [1, 1.0, True])
    def test_a_move_stores_a_change_of_type_alone(self, storage: Storage, value: Any) -> None:
        """1, 1.0 and True are equal in Python, and not the same in a Context."""
        run = self.put(storage, a_run(data={"n": 1}))
        other = self.put(storage, a_run(data={"n": 1.0}))

        self.apply(storage, moved(run, data={"n": value}))
        self.apply(storage, moved(other, data={"n": value}))

        assert _exactly(self.stored(storage, run.id).data) == _exactly({"n": value})
        assert _exactly(self.stored(storage, other.id).data) == _exactly({"n": value})

    def test_a_stale_move_changes_nothing(self, storage: Storage) -> None:
        run = self.put(storage, a_run())
        self.apply(storage, moved(run, current_step="send"))
        now = self.stored(storage, run.id)

        with pytest.raises(StaleRun) as caught:
            self.apply(storage, moved(run, current_step="burn", recorded=an_attempt(run)))

        assert (caught.value.run_id, caught.value.revision) == (run.id, run.revision)
        assert self.stored(storage, run.id) == now

    def test_a_stale_move_leaves_no_attempt(self, storage: Storage) -> None:
        run = self.put(storage, a_run())
        self.apply(storage, moved(run, current_step="send"))

        with pytest.raises(StaleRun):
            self.apply(storage, moved(run, current_step="burn", recorded=an_attempt(run)))

        assert self.recorded(storage, run.id) == []

    def test_a_move_of_a_run_that_is_not_there_is_stale(self, storage: Storage) -> None:
        with pytest.raises(StaleRun):
            self.apply(storage, moved(a_run(), current_step="send"))

    @pytest.mark.parametrize("size", [2, 3, 600])
    def test_one_stale_move_undoes_the_whole_call(self, storage: Storage, size: int) -> None:
        with storage.transaction():
            runs = storage.insert([a_run() for _ in range(size)])
        self.apply(storage, moved(runs[-1], current_step="send"))

        with pytest.raises(StaleRun):
            self.apply(storage, *(moved(run, current_step="burn", recorded=an_attempt(run)) for run in runs))

        assert {self.stored(storage, run.id).current_step for run in runs[:-1]} == {"pack"}
        assert self.stored(storage, runs[-1].id).current_step == "send"

    @pytest.mark.parametrize("size", [1, 2])
    def test_who_catches_a_stale_move_can_go_on_in_the_transaction(self, storage: Storage, size: int) -> None:
        stale = self.put(storage, a_run())
        self.apply(storage, moved(stale, current_step="send"))
        others = [self.put(storage, a_run()) for _ in range(size - 1)]
        last = self.put(storage, a_run())

        with storage.transaction():
            with pytest.raises(StaleRun):
                storage.apply([*(moved(run, current_step="burn") for run in others), moved(stale, current_step="burn")])
            storage.apply([moved(last, current_step="send")])

        assert [self.stored(storage, run.id).current_step for run in others] == ["pack"] * (size - 1)
        assert self.stored(storage, last.id).current_step == "send"

    def test_a_run_moves_again_and_again_in_one_transaction(self, storage: Storage) -> None:
        run = self.put(storage, a_run())

        with storage.transaction():
            for step in ("weigh", "seal", "send"):
                storage.apply([moved(self.stored(storage, run.id), current_step=step)])

        assert self.stored(storage, run.id).current_step == "send"
        assert self.stored(storage, run.id).revision == run.revision + 3

    def test_apply_of_nothing_is_nothing(self, storage: Storage) -> None:
        self.apply(storage)

    @pytest.mark.parametrize("size", [2, 1_200])
    def test_many_moves_are_stored_at_once_each_as_it_says(self, storage: Storage, size: int) -> None:
        with storage.transaction():
            runs = storage.insert([a_run(data={"n": number}) for number in range(size)])
        moves = [_a_varied_move(run, number) for number, run in enumerate(runs)]

        self.apply(storage, *moves)

        assert [self.stored(storage, run.id) for run in runs[:20]] == [move.after for move in moves[:20]]
        assert [self.stored(storage, run.id) for run in runs[-20:]] == [move.after for move in moves[-20:]]

    def test_attempts_are_history(self, storage: Storage) -> None:
        run = self.put(storage, a_run())
        attempts = []
        for number, outcome in enumerate(AttemptOutcome):
            now = self.stored(storage, run.id)
            attempts.append(an_attempt(now, outcome=outcome, number=number + 1, detail=outcome.value, visit=2))
            self.apply(storage, moved(now, recorded=attempts[-1]))

        assert self.recorded(storage, run.id) == attempts

    def test_of_two_who_move_a_run_side_by_side_one_wins(self, storage: Storage) -> None:
        run = self.put(storage, a_run())

        def try_to_move(step: str) -> str | None:
            try:
                self.apply(storage, moved(run, current_step=step))
            except StaleRun:
                return None
            return step

        steps = ["one", "two", "three", "four"]
        results = [thread.result() for thread in [self.beside(partial(try_to_move, step)) for step in steps]]

        (winner,) = (step for step in results if step is not None)
        assert self.stored(storage, run.id).current_step == winner

    def test_a_run_consumes_a_signal_once(self, storage: Storage) -> None:
        run = self.put(storage, a_run())
        signal = self.delivered(storage, a_signal())
        self.apply(storage, moved(run, consumed=signal.id))
        now = self.stored(storage, run.id)

        with pytest.raises(StaleRun):
            self.apply(storage, moved(now, current_step="again", consumed=signal.id, recorded=an_attempt(now)))

        assert self.stored(storage, run.id) == now

    def test_what_a_run_consumes_again_leaves_no_attempt(self, storage: Storage) -> None:
        run = self.put(storage, a_run())
        signal = self.delivered(storage, a_signal())
        self.apply(storage, moved(run, consumed=signal.id))
        now = self.stored(storage, run.id)

        with pytest.raises(StaleRun):
            self.apply(storage, moved(now, consumed=signal.id, recorded=an_attempt(now)))

        assert self.recorded(storage, run.id) == []

    def test_a_signal_is_consumed_by_many_runs(self, storage: Storage) -> None:
        with storage.transaction():
            runs = storage.insert([a_run(), a_run(), a_run()])
        signal = self.delivered(storage, a_signal())

        self.apply(storage, *(moved(run, current_step="woken", consumed=signal.id) for run in runs))

        assert {self.stored(storage, run.id).current_step for run in runs} == {"woken"}

    # What is due: guarantees 4 and 5

    def test_due_gives_what_is_due_oldest_first(self, storage: Storage) -> None:
        late, later, latest = (
            self.put(storage, a_run(next_at=NOW - timedelta(seconds=seconds))) for seconds in (10, 20, 30)
        )

        assert self.due_ids(storage) == [latest.id, later.id, late.id]

    def test_what_is_due_this_very_microsecond_is_due(self, storage: Storage) -> None:
        now = self.put(storage, a_run(next_at=NOW))
        self.put(storage, a_run(next_at=NOW + timedelta(microseconds=1)))

        assert self.due_ids(storage) == [now.id]

    def test_due_gives_no_more_than_the_limit_and_the_oldest_of_them(self, storage: Storage) -> None:
        for seconds in range(5):
            self.put(storage, a_run(next_at=NOW - timedelta(seconds=seconds)))

        assert self.due_ids(storage, limit=2) == self.due_ids(storage)[:2]

    def test_due_gives_whole_runs(self, storage: Storage) -> None:
        run = self.put(storage, _a_full_run())

        assert list(storage.due(NOW + timedelta(days=1), 10)) == [run]

    @pytest.mark.parametrize("status", [status for status in WorkflowStatus if not status.is_terminal])
    def test_a_live_run_is_due_by_its_time_alone(self, storage: Storage, status: WorkflowStatus) -> None:
        self.put(storage, a_run(status=status, next_at=None))
        timed = self.put(storage, a_run(status=status, next_at=NOW))

        assert self.due_ids(storage, seconds=3600) == [timed.id]

    @pytest.mark.parametrize("status", [status for status in WorkflowStatus if status.is_terminal])
    def test_a_run_that_has_ended_is_never_due(self, storage: Storage, status: WorkflowStatus) -> None:
        run = self.put(storage, a_run(next_at=NOW))
        self.apply(storage, moved(run, status=status, next_at=None, finished_at=NOW))

        assert self.due_ids(storage, seconds=3600) == []
        assert list(storage.upcoming(NOW - timedelta(days=1), NOW + timedelta(days=1), 10)) == []

    def test_upcoming_gives_what_waits_for_a_near_time(self, storage: Storage) -> None:
        def waiting(seconds: int) -> UUID:
            due_at = NOW + timedelta(seconds=seconds)
            return self.put(storage, a_run(status=WorkflowStatus.WAITING, next_at=due_at)).id

        _, second, first, last, _ = waiting(0), waiting(2), waiting(1), waiting(3), waiting(4)
        self.put(storage, a_run(status=WorkflowStatus.RUNNING, next_at=NOW + timedelta(seconds=2)))

        upcoming = storage.upcoming(NOW, NOW + timedelta(seconds=3), 10)

        assert list(upcoming) == [
            (run_id, NOW + timedelta(seconds=seconds)) for run_id, seconds in ((first, 1), (second, 2), (last, 3))
        ]
        assert list(storage.upcoming(NOW, NOW + timedelta(seconds=3), 1)) == list(upcoming[:1])


def _a_full_run() -> Run:
    """Return a run in which no field has its default. No engine would store such a one; a storage must."""
    seconds = timedelta(seconds=1)
    return Run(
        id=an_id(),
        name="order: 7/β",
        version="2",
        status=WorkflowStatus.WAITING,
        revision=5,
        current_step="weigh",
        data={"weight": 1.5, "tags": ["a", {"b": None}]},
        next_at=NOW + seconds,
        wake_at=NOW + 2 * seconds,
        claim_expires_at=NOW + 3 * seconds,
        wait=StandingWait(
            signal="paid",
            key="entity:shop.parcel:7",
            entity_type="shop.parcel",
            deadline_at=NOW + 4 * seconds,
            on_timeout="late",
            then="send",
            broadcasts_after=3,
            addressed_after=2,
            run_after=1,
            sent_after=NOW - seconds,
        ),
        visit=7,
        attempt=2,
        visit_position=4,
        start_position=3,
        wake=Wake(
            kind=WakeKind.RETRY,
            cause=WakeKind.SIGNAL,
            signal="paid",
            payload={"amount": 12, "nested": {"a": [1]}},
            rejected={"is_admin": "not a field"},
            sent_at=NOW - 2 * seconds,
            late=timedelta(seconds=3, microseconds=7),
            attempt=3,
            idempotency_key="0123",
            deadline_at=NOW + 7 * seconds,
        ),
        lost_claims=1,
        pause=Pause.CONTEXT,
        pause_requested=True,
        missing_since=NOW - 3 * seconds,
        error="ValueError: no scale",
        why="waits for 'paid'",
        run_key="order 7",
        arguments_digest="0f",
        entity=EntityRef(type="shop.parcel", id="7"),
        occurrence=an_occurrence(generation=3, payload={"a": 1}, about=(EntityRef(type="shop.order", id="x y"),)),
        offset=-timedelta(days=400, microseconds=1),
        parent_id=an_id(),
        parent_visit=6,
        children_pending=4,
        deadline_at=NOW + 5 * seconds,
        created_at=NOW - 4 * seconds,
        updated_at=NOW - 5 * seconds,
        finished_at=NOW + 6 * seconds,
    )


def _changes_of(run: Run, *, keep: set[str]) -> dict[str, Any]:
    return {field.name: getattr(run, field.name) for field in fields(run) if field.name not in keep}


def _a_varied_move(run: Run, number: int) -> Any:
    """Return moves that differ in which fields they change, and in what they change them to."""
    changes: dict[str, Any] = {"next_at": NOW + timedelta(seconds=number), "status": WorkflowStatus.WAITING}
    if number % 2:
        changes |= {"wait": StandingWait(signal="paid", key=f"key:{number}"), "why": "waits"}
    if number % 3:
        changes |= {"data": {"n": float(number)}, "entity": EntityRef(type="shop.parcel", id=str(number))}
    if number % 5:
        changes |= {"wake": Wake(kind=WakeKind.SIGNAL, cause=WakeKind.SIGNAL, payload={"n": number}), "next_at": None}
    return moved(run, recorded=an_attempt(run) if number % 7 else None, **changes)
