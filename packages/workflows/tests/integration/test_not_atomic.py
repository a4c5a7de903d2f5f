"""Steps without a transaction on a real database, their heartbeats, and steps that are cancelled from outside."""

import asyncio
from datetime import timedelta

import pytest
from django.db import connection, transaction
from pydantic import BaseModel

from automation.workflows.authoring.context import outside_step
from automation.workflows.core import Retry, complete, engine, get_wake, heartbeat, registry, step, workflow
from automation.workflows.errors import ClaimLost, UsageError
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from tests.integration.conftest import Heap, StillClock
from tests.parcelapp.models import Entry

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

TWICE = Retry(max_attempts=2, base_delay=timedelta(seconds=1), jitter=0)


class Nothing(BaseModel):
    """A Context without fields."""


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_versions", {})


def test_what_a_step_without_a_transaction_wrote_stays_and_what_it_asked_for_does_not(
    clock: StillClock, queue: Heap
) -> None:
    """It raises once: its rows are the author's affair, its signals are the engine's."""
    inside: list[bool] = []

    @workflow("outsider", default_retry=TWICE)
    class Outsider:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            inside.append(connection.in_atomic_block)
            Entry.objects.create(account="outside", amount=get_wake().attempt)
            engine.signal("told", {"attempt": get_wake().attempt})
            if get_wake().attempt == 1:
                raise RuntimeError
            return complete()

    run = engine.start("outsider")
    queue.work_off()
    clock.advance(seconds=1)
    queue.work_off()

    assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.COMPLETED
    assert list(Entry.objects.order_by("pk").values_list("amount", flat=True)) == [1, 2]
    assert [signal.payload for signal in WorkflowSignal.objects.all()] == [{"attempt": 2}]
    assert inside == [False, False]


def test_a_heartbeat_is_seen_at_once_and_keeps_the_sweep_away(clock: StillClock, queue: Heap) -> None:
    @workflow("long")
    class Long:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            for _ in range(3):
                clock.advance(seconds=50)
                heartbeat()
                with outside_step():
                    assert engine.process_scheduled()["rescued"] == 0
            with pytest.raises(UsageError, match="in a transaction that step 'run' has opened"), transaction.atomic():
                heartbeat()
            return complete()

    run = engine.start("long")
    queue.work_off()

    row = WorkflowRun.objects.get(pk=run.id)
    assert (row.status, row.lost_claims) == (WorkflowStatus.COMPLETED, 0)
    assert row.attempts.count() == 1


def test_a_heartbeat_says_that_the_run_was_called_off_meanwhile(clock: StillClock, queue: Heap) -> None:
    lost: list[str] = []

    @workflow("long")
    class Long:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            with outside_step():
                engine.cancel(run.id)
            try:
                heartbeat()
            except ClaimLost as error:
                lost.append(str(error))
            return complete()

    run = engine.start("long")
    queue.work_off()

    assert len(lost) == 1
    assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.CANCELLED


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "not atomic"])
def test_a_step_that_is_cancelled_from_outside_is_recorded_and_the_cancelling_goes_on(
    clock: StillClock, queue: Heap, *, atomic: bool
) -> None:
    """A server that shuts down cancels its tasks: the attempt has raised, and is tried again."""

    @workflow("interrupted", default_retry=TWICE)
    class Interrupted:
        Context = Nothing

        @step(start=True, atomic=atomic)
        async def run(self):
            await Entry.objects.acreate(account="async", amount=get_wake().attempt)
            if get_wake().attempt == 1:
                raise asyncio.CancelledError
            return complete()

    run = engine.start("interrupted")
    with pytest.raises(asyncio.CancelledError):
        engine.execute_step(run.id)
    assert not connection.in_atomic_block
    clock.advance(seconds=1)
    queue.work_off()

    row = WorkflowRun.objects.get(pk=run.id)
    assert row.status == WorkflowStatus.COMPLETED
    assert list(row.attempts.order_by("revision").values_list("outcome", flat=True)) == ["retry", "complete"]
    assert list(Entry.objects.order_by("pk").values_list("amount", flat=True)) == ([2] if atomic else [1, 2])
