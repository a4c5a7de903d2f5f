"""Rows that this code cannot read: spoilt by hand, or written by a newer release. They stop nobody else."""

import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

from automation.workflows.core import engine
from automation.workflows.errors import UnreadableRun
from automation.workflows.models import WorkflowReceipt, WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.ports import wiring
from automation.workflows.runs.values import Pause
from tests.integration.conftest import Heap, StillClock

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

SPOILT = {"broken JSON": ("data", "{no"), "a status to come": ("status", "hibernating")}


def spoil(run_id: UUID, column: str, text: str) -> None:
    """Write what no code of this release writes."""
    quote = connection.ops.quote_name
    run = quote(WorkflowRun._meta.db_table)
    key = WorkflowRun._meta.pk.get_db_prep_value(run_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {run} SET {quote(column)} = %s WHERE {quote('id')} = %s", [text, key])


def statuses(*run_ids: UUID) -> list[str]:
    """Read the statuses of these runs, without the rest of the rows."""
    found = dict(WorkflowRun.objects.values_list("pk", "status"))
    return [found[run_id] for run_id in run_ids]


def held(run_id: UUID) -> str:
    """Return why a run is held; it is, until it can be read."""
    (found,) = WorkflowRun.objects.filter(pk=run_id).values_list("status", "pause", "why")
    assert found[:2] == (WorkflowStatus.PAUSED, Pause.CONTEXT)
    why: str = found[2]
    return why


@pytest.mark.parametrize(("column", "text"), SPOILT.values(), ids=SPOILT)
def test_a_due_row_that_cannot_be_read_is_counted_put_off_and_stops_nobody(
    clock: StillClock, queue: Heap, column: str, text: str
) -> None:
    first, spoilt, last = (engine.start("sleeper").id for _ in range(3))
    queue.work_off()
    spoil(spoilt, column, text)
    clock.advance(hours=1)

    done = engine.process_scheduled()
    # Its timer from before would be a task that fails, seen in the queue.
    queue.hints = [hint for hint in queue.hints if hint[0] != spoilt]
    queue.work_off()

    assert (done["woken"], done["errors"]) == (2, 1)
    assert statuses(first, last) == [WorkflowStatus.COMPLETED] * 2
    (next_at,) = WorkflowRun.objects.filter(pk=spoilt).values_list("next_at", flat=True)
    assert next_at == clock.now() + timedelta(minutes=1)
    assert engine.process_scheduled()["errors"] == 0


def test_a_waiter_that_cannot_be_read_stops_no_other(clock: StillClock, queue: Heap) -> None:
    first, spoilt, last = (engine.start("waiter").id for _ in range(3))
    queue.work_off()
    spoil(spoilt, "data", "{no")

    engine.signal("ops:window_open", {"foo": 1})
    queue.work_off()

    assert statuses(first, last) == [WorkflowStatus.COMPLETED] * 2
    assert held(spoilt).startswith("its row cannot be read: JSONDecodeError")

    clock.advance(minutes=1)
    assert engine.process_scheduled()["errors"] == 1
    assert held(spoilt), "it cannot be read yet"

    spoil(spoilt, "data", "{}")
    clock.advance(minutes=1)
    engine.process_scheduled()
    queue.work_off()
    assert statuses(spoilt) == [WorkflowStatus.COMPLETED], "it has heard what came meanwhile"


def test_a_run_that_cannot_be_read_is_held_and_goes_on_when_it_can(clock: StillClock, queue: Heap) -> None:
    run = engine.start("chain", steps=2)
    (data,) = WorkflowRun.objects.filter(pk=run.id).values_list("data", flat=True)
    spoil(run.id, "data", "{no")

    queue.work_off()
    engine.execute_step(run.id)
    assert statuses(run.id) == [WorkflowStatus.READY], "a worker that cannot read it does not take it"

    clock.advance(seconds=10)
    assert engine.process_scheduled()["errors"] == 1
    assert held(run.id).startswith("its row cannot be read: JSONDecodeError")
    with pytest.raises(UnreadableRun, match=f"Run {run.id} cannot be read"):
        engine.cancel(run.id)

    spoil(run.id, "data", json.dumps(data))
    clock.advance(minutes=1)
    assert engine.process_scheduled()["resumed"] == 1
    queue.work_off()
    assert statuses(run.id) == [WorkflowStatus.COMPLETED]


def test_a_child_that_cannot_be_read_does_not_keep_its_parent_from_being_cancelled(
    clock: StillClock, queue: Heap
) -> None:
    parent = engine.start("family", children=2).id
    engine.execute_step(parent)
    spoilt, other = WorkflowRun.objects.filter(parent_id=parent).values_list("pk", flat=True)
    spoil(spoilt, "data", "{no")

    engine.cancel(parent)

    assert statuses(parent, other) == [WorkflowStatus.CANCELLED] * 2


def test_a_delivered_signal_that_cannot_be_read_ends_no_wait_and_stops_none(clock: StillClock, queue: Heap) -> None:
    run = engine.start("waiter")
    for foo in (1, 2):
        engine.signal("ops:window_open", {"foo": foo})
    first = WorkflowSignal.objects.order_by("pk").values_list("pk", flat=True)[0]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {WorkflowSignal._meta.db_table} SET payload = '{{no' WHERE id = %s", [first])

    queue.work_off()

    assert statuses(run.id) == [WorkflowStatus.COMPLETED]
    assert WorkflowReceipt.objects.filter(run_id=run.id).count() == 1


def test_a_signal_that_cannot_be_read_stays_and_stops_no_other(clock: StillClock, queue: Heap) -> None:
    run = engine.start("waiter")
    queue.work_off()
    for foo in (1, 2):
        unannounced("ops:window_open", foo)
    first = WorkflowSignal.objects.order_by("pk").values_list("pk", flat=True)[0]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {WorkflowSignal._meta.db_table} SET payload = '{{no' WHERE id = %s", [first])

    engine.process_scheduled()
    queue.work_off()

    assert statuses(run.id) == [WorkflowStatus.COMPLETED]
    assert list(WorkflowSignal.objects.filter(pending=True).values_list("pk", flat=True)) == [first]
    assert wiring.storage is not None
    assert list(wiring.storage.mailbox.undelivered(1)) == []


def unannounced(name: str, foo: int) -> None:
    """Send a signal whose sender dies right after the commit."""
    with transaction.atomic():
        engine.signal(name, {"foo": foo})
        transaction.get_connection().run_on_commit.clear()
