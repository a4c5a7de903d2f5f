"""Steps without a transaction on a real database, their heartbeats, and steps that are cancelled from outside."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from pydantic import BaseModel

from automation.workflows.authoring.context import outside_step
from automation.workflows.core import (
    EntityRef,
    Retry,
    complete,
    engine,
    event_workflow,
    get_wake,
    heartbeat,
    registry,
    step,
    workflow,
)
from automation.workflows.errors import ClaimLost, UsageError
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.ports import Occurrence, Snapshot, wiring
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


def leave_autocommit_off() -> None:
    transaction.set_autocommit(False)


def leave_a_transaction_open() -> None:
    transaction.atomic().__enter__()


def leave_two_open_with_autocommit_off() -> None:
    transaction.set_autocommit(False)
    transaction.atomic().__enter__()
    transaction.atomic().__enter__()


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize(
    ("atomic", "leave"),
    [
        (False, leave_autocommit_off),
        (False, leave_a_transaction_open),
        (False, leave_two_open_with_autocommit_off),
        (True, leave_a_transaction_open),
    ],
)
def test_what_a_step_leaves_open_harms_no_other_run(
    clock: StillClock, queue: Heap, *, atomic: bool, leave: Callable[[], None], raises: bool
) -> None:
    """Whatever its worker stores from then on would be part of that transaction, which nobody commits."""

    @workflow("careless", default_retry=TWICE)
    class Careless:
        Context = Nothing

        @step(start=True, atomic=atomic)
        def run(self):
            if get_wake().attempt == 1:
                Entry.objects.create(account="before", amount=1)
                leave()
                Entry.objects.create(account="within", amount=1)
                if raises:
                    raise RuntimeError("on its way out")
            return complete()

    @workflow("bystander")
    class Bystander:
        Context = Nothing

        @step(start=True)
        def run(self):
            Entry.objects.create(account="bystander", amount=1)
            return complete()

    careless, bystander = engine.start("careless"), engine.start("bystander")
    queue.work_off()
    assert (connection.get_autocommit(), connection.in_atomic_block) == (True, False)
    connection.close()

    assert WorkflowRun.objects.get(pk=bystander.id).status == WorkflowStatus.COMPLETED
    row = WorkflowRun.objects.get(pk=careless.id)
    says = "RuntimeError: on its way out" if raises else "BrokenTransaction: Database 'default' was left in a"
    assert (row.status, row.lost_claims) == (WorkflowStatus.WAITING, 0)
    assert says in row.why
    kept = {"bystander"} if atomic else {"bystander", "before"}
    assert set(Entry.objects.values_list("account", flat=True)) == kept

    clock.advance(seconds=1)
    queue.work_off()
    assert WorkflowRun.objects.get(pk=careless.id).status == WorkflowStatus.COMPLETED


@pytest.mark.parametrize("leave", [leave_autocommit_off, leave_a_transaction_open])
def test_what_the_hooks_of_an_event_leave_open_is_ended_as_well(
    clock: StillClock, queue: Heap, leave: Callable[[], None]
) -> None:
    """`create_context` runs in the worker, before its step."""
    occurrence = Occurrence(id="1", name="parcel_sent", entity=EntityRef(type="a.b", id="1"), at=clock.now())

    class Events:
        def describe(self, event: Any) -> Occurrence:
            return occurrence

        def snapshot(self, occurrence_id: str) -> Snapshot:
            return Snapshot(occurrence=occurrence, event=None, occurred=True, ended=False, valid=True)

    @event_workflow("parcel_sent", name="careless")
    class Careless:
        Context = Nothing

        @classmethod
        def create_context(cls, event: Any = None) -> Nothing:
            leave()
            return Nothing()

        @step(start=True, atomic=False)
        def run(self):
            return complete()

    with wiring.override(occurrences=Events()):
        engine.occurred([occurrence])
        queue.work_off()

    assert (connection.get_autocommit(), connection.in_atomic_block) == (True, False)
    assert "BrokenTransaction: Database 'default' was left in a transaction" in WorkflowRun.objects.get().why


def test_a_project_that_commits_by_hand_all_along_is_left_to_it(clock: StillClock, queue: Heap) -> None:
    """A script with autocommit off: the steps find it so, and leave it so."""

    @workflow("scripted")
    class Scripted:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            with transaction.atomic():
                Entry.objects.create(account="scripted", amount=1)
            return complete()

    transaction.set_autocommit(False)
    try:
        run = engine.start("scripted")
        engine.execute_step(run.id)
        assert not connection.get_autocommit()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)

    assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.COMPLETED
    assert Entry.objects.count() == 1
