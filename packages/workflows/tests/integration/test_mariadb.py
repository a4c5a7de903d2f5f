"""What InnoDB does to transactions that no other database does."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connections, transaction
from pydantic import BaseModel

from automation.testing.contracts.builders import a_run
from automation.testing.contracts.side_by_side import Beside, reached
from automation.workflows.core import Retry, complete, engine, step, workflow
from automation.workflows.django_storage import DjangoStorage
from automation.workflows.models import WorkflowRun, WorkflowStatus
from tests.integration.barriers import blocked_session
from tests.integration.conftest import Heap, StillClock
from tests.parcelapp.models import Entry

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

in_the_middle: list[Callable[[], Any]] = []
"""What the step does between its two writes."""


@workflow("two writes", default_retry=Retry(max_attempts=1))
class TwoWrites:
    """Writes, does what the test says, writes again."""

    class Context(BaseModel):
        """Nothing."""

    @step(start=True)
    def write(self):
        Entry.objects.create(account="first", amount=1)
        for act in in_the_middle:
            act()
        Entry.objects.create(account="second", amount=1)
        return complete()


def test_a_step_that_swallows_a_deadlock_commits_nothing(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """InnoDB ends a deadlock by rolling back all of one transaction, and the connection goes on in a new one."""
    mine, theirs = (Entry.objects.create(account="balance", amount=0) for _ in range(2))
    has_theirs, may_cross = Event(), Event()

    def cross() -> None:
        try:
            with transaction.atomic():
                # The heavier of the two wins.
                Entry.objects.bulk_create(Entry(account="weight", amount=0) for _ in range(50))
                Entry.objects.filter(pk=theirs.pk).update(amount=2)
                has_theirs.set()
                reached(may_cross)
                Entry.objects.filter(pk=mine.pk).update(amount=2)
        finally:
            connections.close_all()

    def deadlock() -> None:
        Entry.objects.filter(pk=mine.pk).update(amount=1)
        may_cross.set()
        blocked_session()
        with pytest.raises(OperationalError, match="1213"):
            # A write would tell Django; a query does not.
            Entry.objects.select_for_update().get(pk=theirs.pk)

    monkeypatch.setitem(globals(), "in_the_middle", [deadlock])
    other = Beside(cross)
    reached(has_theirs)
    run = engine.start("two writes")

    queue.work_off()
    other.result()

    stored = WorkflowRun.objects.get(pk=run.id)
    assert not Entry.objects.filter(account__in=["first", "second"]).exists()
    assert (stored.status, stored.lost_claims) == (WorkflowStatus.FAILED, 0)
    assert stored.error.startswith("TransactionManagementError")


def test_a_large_payload_reaches_a_herd_of_waiting_runs(clock: StillClock, queue: Heap) -> None:
    """Woken together they would make a statement larger than the server takes."""
    engine.execute_step(engine.start("waiter").id)
    (one,) = WorkflowRun.objects.all()
    fields = {field.attname: getattr(one, field.attname) for field in WorkflowRun._meta.concrete_fields}
    WorkflowRun.objects.bulk_create([WorkflowRun(**{**fields, "id": uuid4()}) for _ in range(349)], batch_size=100)

    engine.signal("ops:window_open", {"note": "x" * 60_000})

    assert WorkflowRun.objects.filter(status=WorkflowStatus.READY).count() == 350


def test_many_runs_with_large_contexts_are_started_at_once(clock: StillClock, queue: Heap) -> None:
    runs = [replace(a_run(), data={"blob": "x" * 200_000}) for _ in range(100)]

    DjangoStorage().insert(runs)

    assert WorkflowRun.objects.count() == 100
