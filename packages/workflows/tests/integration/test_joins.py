"""What a join of many children costs: each end the same, whatever the number of its siblings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.retention import cleanup
from tests.integration.conftest import Heap, StillClock

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])


@dataclass
class Written:
    """What was sent to the database inside a block: statements, and the characters of what they carry."""

    statements: list[str] = field(default_factory=list)
    characters: int = 0

    def on_execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            self.statements.append(sql)
            self.characters += sum(len(str(value)) for value in params or ())
        return execute(sql, params, many, context)


@contextmanager
def writing() -> Iterator[Written]:
    written = Written()
    with connection.execute_wrapper(written.on_execute):
        yield written


def parted(children: int) -> tuple[UUID, Sequence[UUID]]:
    """Start a parent, and let it part into so many children."""
    parent = engine.start("family", children=children).id
    engine.execute_step(parent)
    return parent, list(WorkflowRun.objects.filter(parent_id=parent).order_by("pk").values_list("pk", flat=True))


def test_the_end_of_a_child_costs_the_same_among_four_and_among_three_hundred(clock: StillClock, queue: Heap) -> None:
    costs = []
    for size in (4, 300):
        _, children = parted(size)
        # The first one may have to make the lock of the signal's name.
        engine.execute_step(children[0])
        with writing() as spent:
            engine.execute_step(children[0])
        costs.append(spent)
    few, many = costs

    assert len(few.statements) == len(many.statements), "\n".join(many.statements)
    # The sentence for people has two more digits in it.
    assert abs(many.characters - few.characters) <= 8


@pytest.mark.parametrize("size", [4, 300])
def test_the_last_end_reads_all_the_others_in_one_statement(clock: StillClock, queue: Heap, size: int) -> None:
    parent, children = parted(size)
    engine.execute_step(children[0])
    with writing() as another:
        engine.execute_step(children[1])
    for child in children[2:-1]:
        engine.execute_step(child)

    with writing() as last:
        engine.execute_step(children[-1])

    run = WorkflowRun.objects.get(pk=parent)
    assert (run.status, run.children_pending) == (WorkflowStatus.READY, 0)
    assert {entry["status"] for entry in run.wake["payload"]["children"]} == {"completed"}
    assert len(run.wake["payload"]["children"]) == size
    assert len(last.statements) == len(another.statements) + 1, "\n".join(last.statements)


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_child_that_was_deleted_reaches_its_parent_as_failed(
    clock: StillClock, queue: Heap, *, is_paused: bool
) -> None:
    parent, children = parted(3)
    for child in children[1:]:
        engine.execute_step(child)
    WorkflowRun.objects.filter(pk=children[0]).delete()
    if is_paused:
        engine.pause(parent)

    assert cleanup()["lost"] == 1
    assert cleanup()["lost"] == 0, "told once"
    engine.process_scheduled()
    if is_paused:
        engine.resume(parent)

    assert ends(parent)[str(children[0])] == ("failed", "child erased: its row was deleted before it told how it ended")
    assert sorted(status for status, _ in ends(parent).values()) == ["completed", "completed", "failed"]
    assert WorkflowSignal.objects.filter(run_id=parent).count() == 3
    assert cleanup()["lost"] == 0


def test_a_child_whose_end_was_deleted_reaches_its_parent_as_failed(clock: StillClock, queue: Heap) -> None:
    parent, children = parted(2)
    engine.pause(parent)
    for child in children:
        engine.execute_step(child)
    WorkflowSignal.objects.order_by("pk")[:1].get().delete()
    engine.resume(parent)
    assert WorkflowRun.objects.get(pk=parent).children_pending == 1

    assert cleanup()["lost"] == 1
    engine.process_scheduled()

    assert ends(parent)[str(children[0])][0] == "failed"


def test_children_that_are_out_or_about_to_be_heard_are_not_lost(clock: StillClock, queue: Heap) -> None:
    parent, children = parted(3)
    engine.pause(parent)
    engine.execute_step(children[0])
    engine.cancel(children[1])

    assert cleanup()["lost"] == 0


def ends(parent: UUID) -> dict[str, tuple[str, str]]:
    """Return what a parent that goes on was told, by child."""
    run = WorkflowRun.objects.get(pk=parent)
    assert (run.status, run.children_pending) == (WorkflowStatus.READY, 0)
    return {entry["id"]: (entry["status"], entry["error"]) for entry in run.wake["payload"]["children"]}
