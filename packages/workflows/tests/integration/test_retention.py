"""What is old is forgotten, what anybody may still need is not, and nothing comes back to life."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.test import override_settings

from automation.workflows.core import engine
from automation.workflows.models import (
    SignalAddress,
    SignalChannel,
    WorkflowAttempt,
    WorkflowReceipt,
    WorkflowRun,
    WorkflowSignal,
    WorkflowStatus,
)
from automation.workflows.ports import wiring
from automation.workflows.retention import cleanup
from tests.integration.conftest import Heap, ParcelEvents, StillClock
from tests.parcelapp.models import Parcel

pytestmark = pytest.mark.django_db


def a_finished_run(queue: Heap, **kwargs: object) -> UUID:
    run = engine.start("chain", steps=2, **kwargs)
    queue.work_off()
    return run.id


def test_a_finished_run_goes_with_all_that_belongs_to_it(clock: StillClock, queue: Heap) -> None:
    engine.start("waiter")
    engine.signal("ops:window_open")
    queue.work_off()
    deliver()
    queue.work_off()
    assert WorkflowReceipt.objects.count() == 1

    clock.advance(days=31)
    deleted = cleanup()

    assert deleted["runs"] == 1
    assert not WorkflowRun.rows.exists()
    assert not WorkflowAttempt.objects.exists()
    assert not WorkflowReceipt.objects.exists()
    assert not WorkflowSignal.objects.exists()
    assert not SignalChannel.objects.exists()


def test_what_is_not_old_enough_stays(clock: StillClock, queue: Heap) -> None:
    run_id = a_finished_run(queue)

    clock.advance(days=29, hours=23)
    cleanup()

    assert WorkflowRun.objects.get(pk=run_id).attempts.count() == 2


def test_a_live_run_stays_however_old(clock: StillClock, queue: Heap) -> None:
    for workflow in ("waiter", "sleeper"):
        engine.start(workflow)
    queue.work_off()
    paused = engine.start("sleeper")
    engine.pause(paused.id)

    clock.advance(days=4_000)
    deleted = cleanup()

    assert deleted["runs"] == 0
    assert WorkflowRun.objects.count() == 3


def test_a_failed_run_is_kept_longer_for_a_retry(clock: StillClock, queue: Heap) -> None:
    failed = engine.start("clumsy", how="no scale")
    queue.work_off()

    clock.advance(days=89)
    cleanup()
    assert WorkflowRun.objects.filter(pk=failed.id).exists()

    clock.advance(days=2)
    cleanup()
    assert not WorkflowRun.objects.filter(pk=failed.id).exists()


def test_a_key_outlives_its_run_and_still_starts_nothing(clock: StillClock, queue: Heap) -> None:
    run_id = a_finished_run(queue, run_key="order 7")

    clock.advance(days=31)
    cleanup()
    again = engine.start("chain", run_key="order 7", steps=5)
    queue.work_off()

    assert again.id == run_id
    assert again.status is WorkflowStatus.COMPLETED
    assert not WorkflowRun.objects.exists()
    assert not WorkflowAttempt.objects.exists()


def test_a_tombstone_holds_no_content_and_cannot_be_retried(clock: StillClock, queue: Heap) -> None:
    failed = engine.start("clumsy", run_key="k", how="no scale")
    queue.work_off()
    clock.advance(days=91)
    cleanup()

    tombstone = WorkflowRun.rows.get(pk=failed.id)
    assert (tombstone.data, tombstone.error, tombstone.entity_id) == (None, "", "")
    with pytest.raises(LookupError):
        engine.retry(failed.id)
    assert WorkflowRun.objects.failed().retry() == 0


def test_a_key_is_free_after_its_own_retention(clock: StillClock, queue: Heap) -> None:
    a_finished_run(queue, run_key="order 7")
    clock.advance(days=31)
    cleanup()

    clock.advance(days=366)
    assert cleanup()["keys"] == 1
    fresh = engine.start("chain", run_key="order 7", steps=1)

    assert fresh.status is WorkflowStatus.READY


def test_an_event_announced_again_starts_nothing_that_was_cleaned_up(
    clock: StillClock, queue: Heap, events: ParcelEvents
) -> None:
    """A reserved start may end long before its event occurs."""
    parcel = Parcel.objects.create()
    occurrence = events.add("checkout_due", parcel, clock.now() + timedelta(days=2_000))
    engine.plan([occurrence])
    engine.cancel(WorkflowRun.objects.get().pk)
    for _ in range(3):
        clock.advance(days=400)
        cleanup()

    engine.plan([occurrence])
    engine.occurred([occurrence])
    queue.work_off()

    assert not WorkflowRun.objects.exists()
    clock.advance(days=2_000)
    assert cleanup()["keys"] == 1


# Signals


def deliver() -> None:
    """Deliver what was sent; inside a test's own transaction nothing else does."""
    engine.process_scheduled()


def sent(name: str = "news", **kwargs: object) -> UUID:
    signal_id = engine.signal(name, {"n": 1}, **kwargs)
    deliver()
    return signal_id


def is_kept(signal_id: UUID) -> bool:
    return WorkflowSignal.objects.filter(signal_id=signal_id).exists()


def test_a_broadcast_is_kept_for_a_week(clock: StillClock, queue: Heap) -> None:
    engine.start("sleeper")
    signal_id = sent()

    clock.advance(days=6, hours=23)
    cleanup()
    assert is_kept(signal_id)

    clock.advance(hours=2)
    assert cleanup()["signals"] == 1
    assert not is_kept(signal_id)


def test_a_signal_that_is_not_delivered_is_kept(clock: StillClock, queue: Heap) -> None:
    signal_id = engine.signal("news")

    clock.advance(days=400)
    cleanup()

    assert is_kept(signal_id)


def test_a_signal_for_a_run_is_kept_as_long_as_the_run_lives(clock: StillClock, queue: Heap) -> None:
    run = engine.start("sleeper")
    signal_id = sent(run_id=run.id)

    clock.advance(days=400)
    cleanup()
    assert is_kept(signal_id)

    engine.cancel(run.id)
    cleanup()
    assert not is_kept(signal_id)


def test_a_signal_for_a_failed_run_is_kept_for_its_retry(clock: StillClock, queue: Heap) -> None:
    run = engine.start("clumsy", how="no scale")
    queue.work_off()
    signal_id = sent(run_id=run.id)

    clock.advance(days=60)
    cleanup()

    assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.FAILED
    assert is_kept(signal_id)


def test_a_keyed_signal_is_kept_as_long_as_somebody_lives_who_may_ask_for_it(clock: StillClock, queue: Heap) -> None:
    early = engine.start("sleeper")
    signal_id = sent(key="order 7")
    engine.start("sleeper")

    clock.advance(days=400)
    cleanup()
    assert is_kept(signal_id)
    assert SignalAddress.objects.count() == 1

    engine.cancel(early.id)
    cleanup()
    assert not is_kept(signal_id)
    assert not SignalAddress.objects.exists()


# History and the ways in


@override_settings(AUTOMATION_WORKFLOWS={"HISTORY_LENGTH": 10})
def test_the_history_of_a_run_that_goes_on_for_ever_is_bounded(clock: StillClock, queue: Heap) -> None:
    run = engine.start("chain", steps=1_000_000)
    engine.execute_step(run.id)
    newest = WorkflowAttempt.objects.latest("revision").revision

    deleted = cleanup()

    kept = list(WorkflowAttempt.objects.filter(run_id=run.id).order_by("revision").values_list("revision", flat=True))
    assert kept == list(range(newest - 9, newest + 1))
    assert deleted["attempts"] == 90


def test_many_are_deleted_in_batches(clock: StillClock, queue: Heap) -> None:
    row = WorkflowRun.objects.get(pk=a_finished_run(queue))
    fields = {each.attname: getattr(row, each.attname) for each in WorkflowRun._meta.concrete_fields}
    WorkflowRun.rows.bulk_create([WorkflowRun(**{**fields, "id": uuid4()}) for _ in range(1_200)])

    clock.advance(days=31)

    assert cleanup()["runs"] == 1_201
    assert cleanup() == {"runs": 0, "keys": 0, "signals": 0, "attempts": 0, "channels": 0, "lost": 0}


def test_it_is_reached_by_the_port_and_by_a_command(
    clock: StillClock, queue: Heap, capsys: pytest.CaptureFixture[str]
) -> None:
    a_finished_run(queue)
    clock.advance(days=31)

    assert wiring.upkeep is not None
    assert wiring.upkeep.clean_up()["runs"] == 1
    call_command("workflow_cleanup")

    assert capsys.readouterr().out == "runs: 0, keys: 0, signals: 0, attempts: 0, channels: 0, lost: 0\n"


def test_time_is_that_of_the_engine_or_the_one_given(clock: StillClock, queue: Heap) -> None:
    a_finished_run(queue)

    assert cleanup()["runs"] == 0
    assert cleanup(later(clock.now()))["runs"] == 1


def later(now: datetime) -> datetime:
    return now + timedelta(days=31)
