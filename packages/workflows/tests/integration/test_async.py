"""Async steps on a real database: their ORM calls share the connection, and the transaction, of their commit."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from automation.workflows.core import Retry, complete, engine, get_context, get_wake, registry, step, workflow
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from tests.integration.conftest import Heap, StillClock
from tests.parcelapp.models import Entry

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_versions", {})


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "not atomic"])
def test_what_an_async_step_writes_is_rolled_back_with_it_when_it_is_atomic(
    clock: StillClock, queue: Heap, *, atomic: bool
) -> None:
    @workflow("writer", default_retry=Retry(max_attempts=2, base_delay=timedelta(seconds=1), jitter=0))
    class Writer:
        class Context(BaseModel):
            seen: int = 0

        @step(start=True, atomic=atomic)
        async def run(self):
            await Entry.objects.acreate(account="async", amount=get_wake().attempt)
            get_context().seen = await Entry.objects.filter(account="async").acount()
            await engine.asignal("written", {"attempt": get_wake().attempt})
            if get_wake().attempt == 1:
                raise RuntimeError
            return complete()

    run = engine.start("writer")
    queue.work_off()
    clock.advance(seconds=1)
    engine.process_scheduled()
    queue.work_off()

    row = WorkflowRun.objects.get(pk=run.id)
    assert row.status == WorkflowStatus.COMPLETED
    assert list(Entry.objects.order_by("pk").values_list("amount", flat=True)) == ([2] if atomic else [1, 2])
    assert row.data == {"seen": 1 if atomic else 2}
    assert [signal.payload for signal in WorkflowSignal.objects.all()] == [{"attempt": 2}]


def test_an_async_step_starts_what_reads_the_database_for_its_context(clock: StillClock, queue: Heap) -> None:
    @workflow("counting")
    class Counting:
        class Context(BaseModel):
            entries: int

        @classmethod
        def create_context(cls):
            return cls.Context(entries=Entry.objects.count())

        @step(start=True)
        def run(self):
            return complete()

    @workflow("starter")
    class Starter:
        class Context(BaseModel):
            started: str = ""

        @step(start=True)
        async def run(self):
            await Entry.objects.acreate(account="async", amount=1)
            get_context().started = str((await engine.astart("counting")).id)
            return complete()

    run = engine.start("starter")
    queue.work_off()
    queue.work_off()

    started = WorkflowRun.objects.get(pk=WorkflowRun.objects.get(pk=run.id).data["started"])
    assert (started.status, started.data) == (WorkflowStatus.COMPLETED, {"entries": 1})
