"""With a full table of finished runs, every look-up for work goes by an index and meets live rows alone."""

import json
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun, WorkflowSignal
from automation.workflows.ports import wiring
from tests.integration.conftest import Heap, ParcelEvents, StillClock
from tests.parcelapp.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

FINISHED = 1_000_000 if os.environ.get("AUTOMATION_LONG") else 100_000
A_FEW = 300
"""Rows that a look-up may touch: what is live in this test, and the width of an index page."""


def fill(model: type[WorkflowRun | WorkflowSignal], key: str) -> None:
    """Copy the one row there is many times, under other keys."""
    table = model._meta.db_table
    columns = [field.column for field in model._meta.concrete_fields if field.column not in {"id", key}]
    listed = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ("{key}", {listed}) '
            f'SELECT gen_random_uuid(), {listed} FROM "{table}", generate_series(2, %s)',
            [FINISHED],
        )
        cursor.execute(f'ANALYZE "{table}"')


@pytest.fixture
def history(clock: StillClock, queue: Heap) -> None:
    """A table of finished runs and delivered signals, and a few live runs."""
    engine.execute_step(engine.start("chain", steps=1).id)
    fill(WorkflowRun, "id")
    engine.signal("ops:window_open", {"foo": 1})
    fill(WorkflowSignal, "signal_id")
    for workflow in ("waiter", "sleeper"):
        for _ in range(5):
            engine.start(workflow)
    engine.start("listener", name="ears", enough=2)
    queue.work_off()
    plant_listeners(5_000)


def plant_listeners(number: int) -> None:
    """Let many runs wait for the same signal, each with a key of its own."""
    row = WorkflowRun.objects.get(name="listener")
    fields = {each.attname: getattr(row, each.attname) for each in WorkflowRun._meta.concrete_fields}
    others = ({"id": uuid4(), "waiting_digest": f"{one:064}", "next_at": None} for one in range(number))
    WorkflowRun.objects.bulk_create([WorkflowRun(**{**fields, **other}) for other in others], batch_size=1_000)
    with connection.cursor() as cursor:
        cursor.execute(f'ANALYZE "{WorkflowRun._meta.db_table}"')


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def touched(plan: dict[str, Any]) -> int:
    """Return how many rows of tables the plan looked at."""
    return sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if "Relation Name" in node
    )


class Explainer:
    """Explains every statement that passes, by running it for the plan first and undoing that."""

    def __init__(self) -> None:
        self.dear: list[str] = []
        self.seen = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("(").startswith(("SELECT", "UPDATE")) and "automation_workflows" in sql:
            self.explain(execute, sql, params, context)
        return execute(sql, params, many, context)

    def explain(self, execute: Any, sql: str, params: Any, context: Any) -> None:
        cursor = context["cursor"]
        execute("SAVEPOINT explained", None, False, context)
        execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, False, context)
        (found,) = cursor.fetchone()
        execute("ROLLBACK TO SAVEPOINT explained", None, False, context)
        plan = (found if isinstance(found, list) else json.loads(found))[0]["Plan"]
        self.seen += 1
        if touched(plan) > A_FEW:
            self.dear.append(f"{touched(plan)} rows: {sql}\n{json.dumps(plan, indent=1)[:3000]}")


def test_no_look_up_for_work_meets_the_finished_runs(
    history: None, clock: StillClock, queue: Heap, events: ParcelEvents
) -> None:
    explainer = Explainer()
    parcel = Parcel.objects.create()
    occurrence = events.add("checkout_due", parcel, clock.now())

    with transaction.atomic(), connection.execute_wrapper(explainer):
        engine.process_scheduled()
        engine.signal("ops:window_open", {"foo": 2})
        engine.signal("numbers", {"number": 3}, key="ears")
        deliver_everything()
        engine.plan([occurrence])
        engine.move([occurrence])
        engine.withdraw([occurrence], "gone")
        engine.occurred([events.add("guest_docs_uploaded", parcel, clock.now())])
        deliver_everything()
        for run in WorkflowRun.objects.filter(status="ready"):
            engine.execute_step(run.pk)
        for _ in range(2):
            engine.start("chain", run_key="once", steps=1)
        for run in (engine.start("waiter"), engine.start("listener", name="ears", enough=2)):
            engine.execute_step(run.id)
        clock.advance(hours=3)
        engine.process_scheduled()

    assert explainer.seen > 50
    assert not explainer.dear, "\n\n".join(explainer.dear)


def deliver_everything() -> None:
    """Deliver inside the explained transaction, which never commits before its end."""
    storage = wiring.storage
    assert storage is not None
    for name in {signal.name for signal in storage.mailbox.undelivered(100)}:
        engine._sweeper._postman.deliver(name, 1_000)
