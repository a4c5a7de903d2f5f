"""The engine on the real database: what commits together, what a rollback leaves, what the guide promises."""

# ruff: noqa: PT012 (a transaction that raises is itself the block under test)

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from automation.workflows.core import engine
from automation.workflows.models import WorkflowAttempt, WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.ports import wiring
from automation.workflows.runs.causes import CancelRequested
from automation.workflows.runs.decide import decide
from tests.integration.conftest import DATABASE, Heap, ParcelEvents, StillClock
from tests.parcelapp.models import Entry, Parcel

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

SWALLOWED = {
    "complete": "complete",
    "goto": "goto",
    "sleep": "sleep",
    "wait": "wait",
    "run_child": "children",
    "start": "complete",
    "signal": "complete",
    "raise": "complete",
}
"""What a step that has swallowed a database error goes on to do, and how its next attempt ends."""


def row(run_id: UUID) -> WorkflowRun:
    """Read a run's row."""
    return WorkflowRun.objects.get(pk=run_id)


def amounts(account: str) -> list[int]:
    """Read what was written to an account, in order."""
    return list(Entry.objects.filter(account=account).order_by("pk").values_list("amount", flat=True))


class TestTheGuide:
    """Section 4 of the guide, on this database."""

    def test_the_timeout_branch_is_reached_by_moving_the_clock(
        self, clock: StillClock, queue: Heap, events: ParcelEvents
    ) -> None:
        occurrence = events.add("checkout_due", Parcel.objects.create(), clock.now() + timedelta(hours=3))
        engine.plan([occurrence])
        reserved = WorkflowRun.objects.get(triggered_by_event_id=occurrence.id)
        assert (reserved.status, reserved.data) == (WorkflowStatus.WAITING, None)
        assert reserved.wake_at == clock.now() + timedelta(hours=1)

        clock.advance(hours=1)
        engine.process_scheduled()
        queue.work_off()
        assert row(reserved.pk).waiting_signal == "event:guest_docs_uploaded"

        clock.advance(minutes=90)
        engine.process_scheduled()
        queue.work_off()
        clock.advance(seconds=1)
        engine.process_scheduled()
        queue.work_off()

        done = row(reserved.pk)
        assert done.status == WorkflowStatus.COMPLETED
        assert done.data["attempts"] == 2
        assert done.data["final_state"] == "ok"
        assert list(done.attempts.values_list("step", "outcome")) == [
            ("await_docs", "wait"),
            ("fallback_docs", "goto"),
            ("notify_housekeeping", "retry"),
            ("notify_housekeeping", "goto"),
            ("finalize", "complete"),
        ]

    def test_the_event_about_the_same_parcel_wakes_it_and_its_payload_merges(
        self, clock: StillClock, queue: Heap, events: ParcelEvents
    ) -> None:
        parcel, other = Parcel.objects.create(), Parcel.objects.create()
        occurrence = events.add("checkout_due", parcel, clock.now() + timedelta(hours=1))
        engine.plan([occurrence])
        queue.work_off()
        engine.process_scheduled()
        queue.work_off()
        (run,) = WorkflowRun.objects.all()
        assert run.waiting_signal == "event:guest_docs_uploaded"

        engine.occurred([events.add("guest_docs_uploaded", other, clock.now())])
        queue.work_off()
        assert row(run.pk).status == WorkflowStatus.WAITING

        uploaded = events.add("guest_docs_uploaded", parcel, clock.now(), docs_ready=True)
        with transaction.atomic():
            engine.occurred([uploaded])
        queue.work_off()
        clock.advance(seconds=1)
        queue.work_off()

        assert row(run.pk).status == WorkflowStatus.COMPLETED
        assert row(run.pk).data["docs_ready"] is True
        assert "fallback_docs" not in row(run.pk).attempts.values_list("step", flat=True)

    def test_moving_the_date_moves_the_reserved_start(
        self, clock: StillClock, queue: Heap, events: ParcelEvents
    ) -> None:
        occurrence = events.add("checkout_due", Parcel.objects.create(), clock.now() + timedelta(days=3))
        engine.plan([occurrence])
        engine.plan([occurrence])
        later = events.add("checkout_due", Parcel.objects.get(), clock.now() + timedelta(days=5))

        engine.move([later])

        (run,) = WorkflowRun.objects.all()
        assert run.wake_at == clock.now() + timedelta(days=5, hours=-2)
        engine.withdraw([later], "the parcel is gone")
        assert (row(run.pk).status, row(run.pk).why) == (WorkflowStatus.CANCELLED, "the parcel is gone")

    def test_a_positive_offset_runs_after_its_event_and_is_about_its_entity(
        self, clock: StillClock, queue: Heap, events: ParcelEvents
    ) -> None:
        parcel = Parcel.objects.create()
        occurrence = events.add("parcel_late", parcel, clock.now())
        engine.occurred([occurrence])
        engine.occurred([occurrence])
        (run,) = WorkflowRun.objects.all()
        assert run.status == WorkflowStatus.WAITING
        assert run.entity == parcel

        clock.advance(minutes=30)
        queue.work_off()
        engine.process_scheduled()
        queue.work_off()

        assert row(run.pk).status == WorkflowStatus.COMPLETED
        parcel.refresh_from_db()
        assert parcel.state == "chased"


class TestAStepIsATransaction:
    """Its rows, its Context, its history and its next state commit together."""

    def test_a_raise_rolls_the_rows_back_and_keeps_the_context(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("clumsy", how="nul")

        queue.work_off()
        assert amounts("clumsy") == []
        assert row(run.id).status == WorkflowStatus.WAITING
        clock.advance(seconds=1)
        queue.work_off()

        failed = row(run.id)
        assert failed.status == WorkflowStatus.FAILED
        assert "before" in failed.error
        assert amounts("clumsy") == []
        assert list(failed.attempts.values_list("outcome", "number")) == [("retry", 1), ("exhausted", 2)]

    def test_error_texts_are_bounded(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("clumsy", how="huge")

        queue.work_off()
        clock.advance(seconds=1)
        queue.work_off()

        assert len(row(run.id).error) <= 32 * 1024
        assert max(len(attempt.detail) for attempt in WorkflowAttempt.objects.all()) <= 32 * 1024

    @pytest.mark.parametrize(("then", "outcome"), SWALLOWED.items())
    def test_a_swallowed_database_error_is_a_failed_attempt_not_half_a_commit(
        self, clock: StillClock, queue: Heap, then: str, outcome: str
    ) -> None:
        """Whatever the step returns or asks for, and the next attempt is whole."""
        run = engine.start("clumsy", how="swallows", then=then)

        queue.work_off()

        waiting = row(run.id)
        assert (waiting.status, waiting.attempt, waiting.lost_claims) == (WorkflowStatus.WAITING, 1, 0)
        assert ("told to" if then == "raise" else "rolled back") in waiting.attempts.get().detail
        assert (amounts("clumsy"), WorkflowRun.objects.count(), WorkflowSignal.objects.count()) == ([], 1, 0)

        clock.advance(seconds=1)
        queue.work_off()

        outcomes = row(run.id).attempts.order_by("revision").values_list("outcome", flat=True)
        assert list(outcomes[:2]) == ["retry", outcome]
        assert amounts("clumsy") == [1]

    @pytest.mark.skipif(DATABASE != "postgres", reason="an error in a query breaks no other database's transaction")
    @pytest.mark.parametrize("then", ["complete", "goto", "sleep", "wait", "run_child"])
    def test_an_error_of_a_query_that_is_swallowed_is_a_failed_attempt(
        self, clock: StillClock, queue: Heap, then: str
    ) -> None:
        """Django does not know that the transaction is lost: only a write would have told it."""
        run = engine.start("clumsy", how="swallows in a query", then=then)

        queue.work_off()
        clock.advance(seconds=1)
        queue.work_off()

        failed = row(run.id)
        assert (failed.status, failed.lost_claims) == (WorkflowStatus.FAILED, 0)
        assert failed.error.startswith("BrokenTransaction: The transaction can only be rolled back")
        assert amounts("clumsy") == []

    def test_a_step_may_open_transactions_of_its_own(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("clumsy", how="nested")

        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert (amounts("clumsy"), amounts("inner")) == ([1], [1])

    def test_fail_commits_what_the_step_wrote(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("clumsy", how="no scale")

        queue.work_off()

        assert (row(run.id).status, row(run.id).error) == (WorkflowStatus.FAILED, "no scale")
        assert amounts("clumsy") == [1]

    def test_a_parent_goes_on_when_its_child_has_ended(self, clock: StillClock, queue: Heap) -> None:
        parent = engine.start("parent")

        queue.work_off()

        assert row(parent.id).status == WorkflowStatus.COMPLETED
        assert WorkflowRun.objects.get(parent_id=parent.id).status == WorkflowStatus.COMPLETED

    def test_without_an_executor_a_run_is_worked_on_after_the_commit(self, clock: StillClock) -> None:
        with transaction.atomic():
            run = engine.start("chain", steps=150)
            assert row(run.id).status == WorkflowStatus.READY

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert row(run.id).attempts.count() == 150


class TestStarting:
    """A start is a row in the caller's transaction."""

    def test_a_rollback_leaves_nothing_of_a_start(self, clock: StillClock, queue: Heap) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            engine.start("sleeper")
            engine.signal("ops:window_open")
            raise ZeroDivisionError

        queue.work_off()
        assert WorkflowRun.objects.count() == 0
        assert WorkflowSignal.objects.count() == 0

    def test_a_rolled_back_savepoint_leaves_nothing_and_what_is_around_it_stays(
        self, clock: StillClock, queue: Heap
    ) -> None:
        with transaction.atomic():
            kept = engine.start("sleeper")
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                engine.start("sleeper")
                raise ZeroDivisionError

        queue.work_off()
        assert [run.pk for run in WorkflowRun.objects.all()] == [kept.id]

    def test_a_key_starts_once(self, clock: StillClock, queue: Heap) -> None:
        first = engine.start("sleeper", run_key="order 7", label="a")
        queue.work_off()

        again = engine.start("sleeper", run_key="order 7", label="b")

        assert again.id == first.id
        assert WorkflowRun.objects.count() == 1

    def test_timers_wake(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("sleeper")
        queue.work_off()
        assert row(run.id).wake_at == clock.now() + timedelta(hours=1)

        clock.advance(hours=1)
        engine.process_scheduled()
        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED


class TestSignals:
    """Before, during and after the wait; in any transaction."""

    def test_a_signal_after_the_wait_wakes_it(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("waiter")
        queue.work_off()

        engine.signal("ops:window_open", {"foo": 3})
        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert amounts("opened") == [3]

    def test_a_signal_between_the_start_and_the_wait_is_not_lost(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("waiter")
        engine.signal("ops:window_open", {"foo": 4})

        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert amounts("opened") == [4]

    def test_a_broadcast_before_the_start_is_not_for_the_run(self, clock: StillClock, queue: Heap) -> None:
        engine.signal("ops:window_open")
        run = engine.start("waiter")

        queue.work_off()

        assert row(run.id).status == WorkflowStatus.WAITING

    def test_a_signal_in_a_transaction_is_delivered_after_its_commit(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("waiter")
        queue.work_off()

        with transaction.atomic():
            engine.signal("ops:window_open", {"foo": 5})
            assert row(run.id).status == WorkflowStatus.WAITING

        assert row(run.id).status == WorkflowStatus.READY

    def test_a_step_sends_as_many_signals_as_it_may_and_beyond_that_none(
        self, clock: StillClock, queue: Heap, settings: Any
    ) -> None:
        settings.AUTOMATION_WORKFLOWS = {"SIGNALS_PER_STEP": 5}
        listener = engine.start("listener", name="ear", enough=5)
        queue.work_off()

        too_many = engine.start("babbler", name="ear", count=6)
        queue.work_off()
        assert row(too_many.id).status == WorkflowStatus.FAILED
        assert "AUTOMATION_WORKFLOWS['SIGNALS_PER_STEP']" in row(too_many.id).error
        assert not WorkflowSignal.objects.exists()

        engine.start("babbler", name="ear", count=5)
        queue.work_off()
        assert row(listener.id).status == WorkflowStatus.COMPLETED
        assert row(listener.id).data["heard"] == [0, 1, 2, 3, 4]

    def test_a_signal_whose_delivery_was_lost_is_delivered_by_the_sweep(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("waiter")
        queue.work_off()
        engine.signal("ops:window_open")
        WorkflowSignal.objects.update(position=None, pending=True)
        other = engine.start("waiter")
        queue.work_off()

        engine.process_scheduled()
        queue.work_off()

        assert row(run.id).status == row(other.id).status == WorkflowStatus.COMPLETED

    def test_after_the_timeout_a_signal_is_ignored(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("waiter")
        queue.work_off()
        clock.advance(minutes=5)
        engine.process_scheduled()
        engine.signal("ops:window_open", {"foo": 6})

        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert (amounts("late"), amounts("opened")) == ([0], [])

    def test_signals_to_one_run_come_in_the_order_of_sending(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("listener", name="ears", enough=5)
        for number in range(5):
            engine.signal("numbers", {"number": number}, key="ears")
            engine.signal("numbers", {"number": 99}, key="Ears")

        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert amounts("ears") == [0, 1, 2, 3, 4]


class TestOperations:
    """Cancel, pause, resume, retry."""

    def test_a_cancelled_run_takes_no_further_step(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("sleeper")
        queue.work_off()

        assert engine.cancel(run.id)
        clock.advance(hours=2)
        engine.process_scheduled()
        queue.work_off()
        assert row(run.id).status == WorkflowStatus.CANCELLED
        assert row(run.id).next_at is None

    def test_a_paused_run_keeps_its_wait_and_what_came_meanwhile(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("waiter")
        queue.work_off()
        engine.pause(run.id)
        engine.signal("ops:window_open", {"foo": 7})
        queue.work_off()
        assert row(run.id).status == WorkflowStatus.PAUSED

        engine.resume(run.id)
        queue.work_off()

        assert amounts("opened") == [7]

    def test_a_failed_run_is_retried(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("clumsy", how="no scale")
        queue.work_off()
        WorkflowRun.objects.update(data={"how": "nested"})

        engine.retry(run.id)
        queue.work_off()

        assert row(run.id).status == WorkflowStatus.COMPLETED
        assert row(run.id).error == ""


class TestConstraints:
    """What the database refuses: at the statement on MariaDB, at the commit elsewhere."""

    def test_a_dangling_reference_is_a_raise_of_the_step(self, clock: StillClock, queue: Heap) -> None:
        run = engine.start("dangling")
        queue.work_off()
        waiting = row(run.id)
        assert (waiting.status, waiting.attempt, waiting.lost_claims) == (WorkflowStatus.WAITING, 1, 0)

        clock.advance(seconds=1)
        queue.work_off()

        failed = row(run.id)
        assert (failed.status, failed.lost_claims, failed.data) == (WorkflowStatus.FAILED, 0, {"tries": 2})
        assert "foreign key constraint" in failed.error.partition("\n")[0].lower()
        assert list(failed.attempts.values_list("outcome", flat=True)) == ["retry", "exhausted"]
        assert amounts("dangling") == []


@pytest.mark.parametrize("held", ["waiting", "paused"])
def test_a_withdrawn_start_is_the_row_that_a_cancelled_one_would_be(
    clock: StillClock, queue: Heap, events: ParcelEvents, held: str
) -> None:
    """It is written by one statement for all of them, past the decision, which says what each must come to."""
    occurrence = events.add("meeting_due", Parcel.objects.create(), clock.now() + timedelta(minutes=90))
    engine.plan([occurrence])
    run_id = WorkflowRun.objects.get().pk
    if held == "paused":
        engine.pause(run_id)
    assert wiring.storage is not None
    before = wiring.storage.load(run_id)
    assert before is not None
    clock.advance(minutes=1)

    engine.withdraw([occurrence], "its date was cleared")

    decided = decide(before, CancelRequested(reason="its date was cleared"), None, clock.now())
    assert wiring.storage.load(run_id) == decided.after
