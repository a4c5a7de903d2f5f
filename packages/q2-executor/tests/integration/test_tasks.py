"""What q2's workers call: safe against steps that try to end the process, and against being called by hand."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django_q.exceptions import TimeoutException
from django_q.models import Failure, Task

from automation.q2_executor import tasks
from automation.q2_executor.models import Heartbeat
from automation.workflows.ports import wiring as workflows_wiring
from tests.fakes import FakeProcessor, FakeWorker
from tests.queue import calls

pytestmark = pytest.mark.django_db


def test_a_run_is_executed_by_its_id(worker: FakeWorker):
    run_id = str(uuid4())

    tasks.execute_run(run_id)

    assert worker.executed == [(run_id, None)]


@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_a_step_that_ends_the_process_does_not(
    worker: FakeWorker, leaving: BaseException, caplog: pytest.LogCaptureFixture
):
    """q2 would neither acknowledge nor count it, and hand it to one worker after the other for ever."""
    worker.raises = leaving

    tasks.execute_run(str(uuid4()))

    assert "tried to end" in caplog.text or "raised" in caplog.text


def test_a_timeout_is_passed_on_to_q2(worker: FakeWorker):
    """q2 replaces the worker, whose state after an interruption anywhere is not to be trusted."""
    worker.raises = TimeoutException("too long")

    with pytest.raises(TimeoutException):
        tasks.execute_run(str(uuid4()))


def test_an_error_of_the_engine_is_passed_on_to_q2(worker: FakeWorker):
    worker.raises = ValueError("no database")

    with pytest.raises(ValueError, match="no database"):
        tasks.execute_run(str(uuid4()))


def test_deliveries_are_made_by_their_ids(processor: FakeProcessor):
    delivery_id = uuid4()

    tasks.deliver_event("default", str(delivery_id))

    assert processor.delivered == [("default", [delivery_id])]


def test_the_sweeps_give_what_was_done_and_leave_a_heartbeat(worker: FakeWorker, processor: FakeProcessor):
    swept = tasks.process_scheduled_workflows()
    polled = tasks.poll_due_events(hours=6)
    cleaned = tasks.cleanup_old_events(days=7)

    assert swept["woken"] == 0
    assert polled["due_events_found"] == 0
    assert cleaned["deleted_count"] == 0
    assert (worker.sweeps, processor.polls, processor.cleaned) == (1, [6], [7])
    finished = Heartbeat.objects.filter(finished_at__isnull=False).values_list("name", flat=True)
    assert set(finished) >= {"workflows", "events", "cleanup"}


def test_a_sweep_that_raises_leaves_no_finished_heartbeat(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "process_scheduled", lambda **_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        tasks.process_scheduled_workflows()

    beat = Heartbeat.objects.get(name="workflows")
    assert beat.started_at is not None
    assert beat.finished_at is None


def failure(func: str, days: int) -> None:
    at = datetime.now(UTC) - timedelta(days=days)
    Task.objects.create(id=uuid4().hex, name="x", func=func, started=at, stopped=at, success=False)


def test_cleaning_up_removes_old_failures_of_our_own_tasks_only(processor: FakeProcessor):
    """q2 keeps failures for ever."""
    failure("automation.q2_executor.tasks.execute_run", days=31)
    failure("automation.q2_executor.tasks.execute_run", days=1)
    failure("shop.tasks.send_invoice", days=31)

    cleaned = tasks.cleanup_old_events()

    assert cleaned["failures_deleted"] == 1
    assert Failure.objects.count() == 2


def test_runs_are_tidied_up_once_a_day_by_the_sweep(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch):
    """With workflows alone there is no daily schedule, and the guide names three."""
    days = []

    class Upkeep:
        def clean_up(self) -> dict[str, int]:
            days.append(1)
            return {}

    monkeypatch.setattr(workflows_wiring, "upkeep", Upkeep())
    for _ in range(3):
        tasks.process_scheduled_workflows()
    assert len(days) == 1

    Heartbeat.objects.filter(name="upkeep").update(started_at=datetime.now(UTC) - timedelta(days=1))
    tasks.process_scheduled_workflows()
    assert len(days) == 2


@pytest.fixture
def _no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time of each task be up as soon as it begins."""
    monkeypatch.setattr("automation.q2_executor.budget.SHARE", 0)


@pytest.mark.usefixtures("_no_time")
def test_a_sweep_whose_time_is_up_stops_before_q2_ends_it(worker: FakeWorker):
    """It still stamps its heartbeat: the cluster is busy, not dead."""
    worker.due = 5000

    swept = tasks.process_scheduled_workflows()

    assert (worker.sweeps, swept["woken"]) == (1, 0)
    assert Heartbeat.objects.get(name="workflows").finished_at is not None


@pytest.mark.usefixtures("_no_time")
@pytest.mark.parametrize("task", [tasks.poll_due_events, tasks.wake_events])
def test_a_poll_whose_time_is_up_leaves_the_rest_to_another_task_at_once(processor: FakeProcessor, task):
    processor.asks = 1

    task()

    assert [name for name, _ in calls() if name == "wake_events"] == ["wake_events"]


def test_a_poll_that_has_time_leaves_none(processor: FakeProcessor):
    processor.asks = 50

    tasks.poll_due_events()

    assert processor.asks == 0
    assert [name for name, _ in calls() if name == "wake_events"] == []
