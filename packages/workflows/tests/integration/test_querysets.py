"""Runs are narrowed by what one asks about them, and moved in bulk."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pydantic import BaseModel

from automation.workflows import querysets
from automation.workflows.core import engine, fail, on_fail, step, workflow
from automation.workflows.errors import UsageError
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.querysets import Stranded
from tests.integration.conftest import Heap, StillClock
from tests.parcelapp.models import Parcel

pytestmark = pytest.mark.django_db


@workflow("undone")
class Undone:
    """Fails, and cleans up after it."""

    class Context(BaseModel):
        """Nothing."""

    @step(start=True)
    def stumble(self):
        return fail("no")

    @on_fail
    def undo(self):
        return None


@pytest.fixture
def zoo(clock: StillClock, queue: Heap) -> dict[str, UUID]:
    """One run of each kind."""
    runs = {
        "waiting": engine.start("waiter"),
        "paused": engine.start("sleeper"),
        "completed": engine.start("chain", steps=1),
        "failed": engine.start("clumsy", how="no scale"),
        "cancelled": engine.start("sleeper"),
        "running": engine.start("sleeper"),
    }
    engine.pause(runs["paused"].id)
    engine.cancel(runs["cancelled"].id)
    WorkflowRun.objects.filter(pk=runs["running"].id).update(
        status="running", claim_expires_at=clock.now() + timedelta(seconds=70)
    )
    queue.work_off()
    runs["ready"] = engine.start("sleeper")
    return {name: run.id for name, run in runs.items()}


@pytest.mark.parametrize("status", ["ready", "running", "waiting", "paused", "completed", "failed", "cancelled"])
def test_each_status_has_its_name(zoo: dict[str, UUID], status: str) -> None:
    assert [run.pk for run in getattr(WorkflowRun.objects, status)()] == [zoo[status]]


def test_live_runs_are_those_that_have_not_ended(zoo: dict[str, UUID]) -> None:
    live = {zoo[status] for status in ("ready", "running", "waiting", "paused")}

    assert {run.pk for run in WorkflowRun.objects.live()} == live


def test_failed_runs_are_retried_in_bulk(clock: StillClock, queue: Heap) -> None:
    failed = [engine.start("clumsy", how="no scale").id for _ in range(3)]
    queue.work_off()
    WorkflowRun.objects.update(data={"how": "nested"})

    assert WorkflowRun.objects.failed().retry() == 3
    queue.work_off()

    assert {run.pk for run in WorkflowRun.objects.completed()} == set(failed)


def test_a_verb_passes_over_runs_that_it_does_not_fit(zoo: dict[str, UUID]) -> None:
    assert WorkflowRun.objects.all().retry() == 1
    assert WorkflowRun.objects.exclude(status="running").resume() == 1


def test_runs_are_paused_resumed_and_cancelled_in_bulk(clock: StillClock, queue: Heap) -> None:
    for _ in range(3):
        engine.start("sleeper")
    queue.work_off()

    assert WorkflowRun.objects.waiting().pause("for the night") == 3
    assert {run.why for run in WorkflowRun.objects.paused()} == {"for the night"}
    assert WorkflowRun.objects.paused().resume() == 3
    assert WorkflowRun.objects.filter(name="sleeper").cancel("no longer") == 3
    assert {run.status for run in WorkflowRun.objects.all()} == {WorkflowStatus.CANCELLED}


def test_more_than_a_chunk_is_moved(clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querysets, "_CHUNK", 10)
    for _ in range(25):
        engine.start("sleeper")

    assert WorkflowRun.objects.live().cancel() == 25


def test_overdue_runs_and_stuck_claims_are_found(zoo: dict[str, UUID], clock: StillClock) -> None:
    clock.advance(hours=1)
    WorkflowRun.objects.filter(pk=zoo["running"]).update(next_at=clock.now() - timedelta(minutes=50))

    assert zoo["running"] in {run.pk for run in WorkflowRun.objects.overdue(clock.now())}
    stuck = WorkflowRun.objects.stuck_claims(clock.now() - timedelta(minutes=5))
    assert [run.pk for run in stuck] == [zoo["running"]]


def test_runs_held_for_their_code_are_found(zoo: dict[str, UUID], clock: StillClock, queue: Heap) -> None:
    WorkflowRun.objects.filter(pk=zoo["ready"]).update(name="gone")
    assert WorkflowRun.objects.stranded() == [Stranded("gone", "1", "nap", 1)]

    queue.work_off()
    assert [run.pk for run in WorkflowRun.objects.parked_for_code()] == [zoo["ready"]]


def test_runs_at_a_step_or_version_that_is_gone_are_counted_together(clock: StillClock, queue: Heap) -> None:
    for changes in ({"current_step": "old"}, {"current_step": "old"}, {"version": "0"}):
        run = engine.start("sleeper")
        WorkflowRun.objects.filter(pk=run.id).update(**changes)

    assert WorkflowRun.objects.stranded() == [
        Stranded("sleeper", "0", "nap", 1),
        Stranded("sleeper", "1", "old", 2),
    ]


def test_no_run_of_a_working_engine_is_unmovable(zoo: dict[str, UUID]) -> None:
    assert not WorkflowRun.objects.unmovable().exists()


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ("ready", {"next_at": None}),
        ("running", {"claim_expires_at": None}),
        ("waiting", {"next_at": None, "waiting_signal": ""}),
        ("paused", {"pause": ""}),
    ],
)
def test_a_run_that_nothing_would_move_is_found(zoo: dict[str, UUID], status: str, changes: dict[str, object]) -> None:
    WorkflowRun.objects.filter(pk=zoo[status]).update(**changes)

    assert [run.pk for run in WorkflowRun.objects.unmovable()] == [zoo[status]]


def test_undelivered_signals_are_found(clock: StillClock, queue: Heap) -> None:
    engine.signal("news")

    assert WorkflowSignal.objects.undelivered().count() == 1
    assert WorkflowSignal.objects.undelivered(before=clock.now()).count() == 0


def test_a_run_knows_its_entity(clock: StillClock, queue: Heap) -> None:
    parcel = Parcel.objects.create()
    run = engine.start("sleeper")
    WorkflowRun.objects.filter(pk=run.id).update(entity_type="parcelapp.parcel", entity_id=str(parcel.pk))

    assert WorkflowRun.objects.for_entity(parcel).get().entity == parcel
    parcel.delete()
    assert WorkflowRun.objects.get().entity is None


@pytest.mark.parametrize(("kind", "key"), [("", ""), ("nowhere.model", "1"), ("parcelapp.parcel", "not a number")])
def test_an_entity_that_cannot_be_found_is_none(clock: StillClock, queue: Heap, kind: str, key: str) -> None:
    engine.start("sleeper")
    WorkflowRun.objects.update(entity_type=kind, entity_id=key)

    assert WorkflowRun.objects.get().entity is None


def test_looking_changes_nothing(zoo: dict[str, UUID]) -> None:
    with CaptureQueriesContext(connection) as queries:
        for run in WorkflowRun.objects.all():
            _ = (run.entity, str(run), list(run.attempts.all()))
        WorkflowRun.objects.stranded()

    assert all(query["sql"].startswith("SELECT") for query in queries)


def test_the_first_few_are_moved_in_bulk(clock: StillClock, queue: Heap) -> None:
    for _ in range(3):
        engine.start("clumsy", how="no scale")
    queue.work_off()
    failed = WorkflowRun.objects.failed().order_by("-pk")
    first = [run.pk for run in failed[:2]]

    assert failed[:2].retry(from_step="stumble") == 2

    assert {run.pk for run in WorkflowRun.objects.ready()} == set(first)
    assert WorkflowRun.objects.ready()[:1].cancel() == 1


def test_many_are_retried_from_another_step_than_the_one_at_which_they_failed(clock: StillClock, queue: Heap) -> None:
    runs = [engine.start("clumsy", how="no scale") for _ in range(2)]
    queue.work_off()

    assert WorkflowRun.objects.failed().retry(from_step="end") == 2

    queue.work_off()
    for run in WorkflowRun.objects.filter(pk__in=[run.id for run in runs]):
        assert run.status == WorkflowStatus.COMPLETED
        assert list(run.attempts.order_by("revision").values_list("step", flat=True)) == ["stumble", "end"]


def test_a_step_that_not_all_of_them_have_retries_none(clock: StillClock, queue: Heap) -> None:
    runs = [engine.start("clumsy", how="no scale"), engine.start("meeting", how="fail")]
    queue.work_off()

    with pytest.raises(UsageError, match="'meeting' has no such step"):
        WorkflowRun.objects.failed().retry(from_step="stumble")

    assert WorkflowRun.objects.failed().count() == 2
    assert WorkflowRun.objects.filter(name="clumsy").retry(from_step="stumble") == 1
    assert WorkflowRun.objects.get(pk=runs[1].id).status == WorkflowStatus.FAILED


def test_none_is_retried_from_the_step_that_cleans_up_after_it(clock: StillClock, queue: Heap) -> None:
    engine.start("undone")
    queue.work_off()

    with pytest.raises(UsageError, match="'undone' has no such step, so none of these runs was retried"):
        WorkflowRun.objects.failed().retry(from_step="undo")
