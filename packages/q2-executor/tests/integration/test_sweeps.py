"""The sweeps go on: under a backlog, with q2's scheduler blocked or dead, and never doubled for it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from automation.q2_executor import sweeps, tasks
from automation.q2_executor.executor import Q2Executor
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.schedules import install
from tests.fakes import FakeProcessor, FakeWorker
from tests.queue import calls, drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _both(worker: FakeWorker, processor: FakeProcessor) -> None:
    """Every test here has both halves to sweep."""


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def swept(*, workflows: float, events: float = 0, cleanup: float = 0) -> None:
    """Leave heartbeats of so many seconds ago."""
    for name, seconds in {"workflows": workflows, "events": events, "cleanup": cleanup}.items():
        Heartbeat.objects.update_or_create(
            name=name, defaults={"started_at": ago(seconds), "finished_at": ago(seconds)}
        )


def let_the_process_look() -> None:
    sweeps.glance = sweeps.Glance()


def test_a_worker_makes_up_for_an_overdue_sweep_beside_its_own_task(worker: FakeWorker, processor: FakeProcessor):
    """Behind a long backlog the sweep's own task would wait for minutes."""
    swept(workflows=73)
    let_the_process_look()

    tasks.execute_run(str(uuid4()))

    assert worker.sweeps == 1
    assert processor.polls == []


def test_a_sweep_that_is_not_overdue_is_left_alone(worker: FakeWorker):
    swept(workflows=60)
    let_the_process_look()

    tasks.execute_run(str(uuid4()))

    assert worker.sweeps == 0


def test_a_worker_looks_once_in_ten_seconds(worker: FakeWorker):
    swept(workflows=10)
    let_the_process_look()
    tasks.execute_run(str(uuid4()))

    with CaptureQueriesContext(connection) as captured:
        for _ in range(100):
            tasks.execute_run(str(uuid4()))

    assert len(captured) == 0


def test_of_two_that_find_a_sweep_overdue_one_sweeps(worker: FakeWorker):
    """Both have read the old stamp; the second one's comparison fails."""
    swept(workflows=100)
    stamp = Heartbeat.objects.get(name="workflows").started_at

    won = [sweeps._compare_and_set("workflows", stamp, datetime.now(UTC)) for _ in range(2)]

    assert won == [True, False]


def test_of_two_that_find_no_stamp_at_all_one_sweeps():
    won = [sweeps._compare_and_set("workflows", None, datetime.now(UTC)) for _ in range(2)]

    assert won == [True, False]


def test_a_sweep_leaves_a_watchdog_behind(worker: FakeWorker):
    before = datetime.now(UTC)

    tasks.process_scheduled_workflows()

    watchdog = OrmQ.objects.get()
    assert calls()[0][0] == "keep_sweeping"
    assert timedelta(seconds=75) <= watchdog.lock - before <= timedelta(seconds=100)


def test_many_sweeps_leave_one_watchdog():
    for _ in range(5):
        tasks.process_scheduled_workflows()
        tasks.poll_due_events()

    assert [name for name, _ in calls()] == ["keep_sweeping"]


def let_the_watchdog_come() -> None:
    """Let its time come."""
    due = ago(1)
    Heartbeat.objects.filter(name=sweeps.WATCHDOG).update(started_at=due)
    OrmQ.objects.all().delete()
    swept(workflows=80)
    tasks.keep_sweeping(due.isoformat())


def test_the_watchdog_makes_up_for_what_is_overdue_and_leaves_the_next(worker: FakeWorker):
    tasks.process_scheduled_workflows()

    let_the_watchdog_come()

    assert worker.sweeps == 2
    assert [name for name, _ in calls()] == ["keep_sweeping"]


def test_a_watchdog_that_comes_twice_leaves_one(worker: FakeWorker):
    tasks.process_scheduled_workflows()
    due = Heartbeat.objects.get(name=sweeps.WATCHDOG).started_at
    OrmQ.objects.all().delete()

    tasks.keep_sweeping(due.isoformat())
    tasks.keep_sweeping(due.isoformat())

    assert [name for name, _ in calls()] == ["keep_sweeping"]


def test_a_lost_watchdog_is_replaced_by_the_next_sweep():
    """The queue was emptied; the watchdog's time has passed, and it did not come."""
    tasks.process_scheduled_workflows()
    OrmQ.objects.all().delete()
    Heartbeat.objects.filter(name=sweeps.WATCHDOG).update(started_at=ago(11))

    tasks.process_scheduled_workflows()

    assert [name for name, _ in calls()] == ["keep_sweeping"]


@pytest.fixture
def _every_ten_seconds(settings: Any) -> None:
    settings.AUTOMATION_Q2 = {"SWEEP_EVERY": timedelta(seconds=10)}
    install()


def seconds_to_the_watchdog() -> float | None:
    """How far ahead the one in the queue is; None without one."""
    rows = [row for row in OrmQ.objects.all() if row.func().endswith("keep_sweeping")]
    assert len(rows) <= 1
    return (rows[0].lock - datetime.now(UTC)).total_seconds() if rows else None


def lose_the_queue(*, watchdog_was_due: float) -> None:
    """Empty it; the watchdog in it would have come so many seconds ago."""
    OrmQ.objects.all().delete()
    Heartbeat.objects.filter(name=sweeps.WATCHDOG).update(started_at=ago(watchdog_was_due))


def let_q2s_schedule_come() -> None:
    """q2 looks at its schedules, and a worker works."""
    Schedule.objects.filter(name=sweeps.WORKFLOWS.title).update(next_run=ago(1))
    scheduler()
    drain()


@pytest.mark.usefixtures("_every_ten_seconds")
def test_an_interval_of_seconds_is_kept_by_the_watchdog(worker: FakeWorker):
    assert Schedule.objects.get(name=sweeps.WORKFLOWS.title).minutes == 1, "q2 knows whole minutes"
    tasks.process_scheduled_workflows()
    assert seconds_to_the_watchdog() == pytest.approx(12.5, abs=2)

    due = ago(1)
    lose_the_queue(watchdog_was_due=1)
    swept(workflows=12.5)
    tasks.keep_sweeping(Heartbeat.objects.get(name=sweeps.WATCHDOG).started_at.isoformat())

    assert due < Heartbeat.objects.get(name="workflows").started_at
    assert worker.sweeps == 2
    assert seconds_to_the_watchdog() == pytest.approx(12.5, abs=2)


@pytest.mark.usefixtures("_every_ten_seconds")
def test_q2s_schedule_brings_an_interval_of_seconds_back_when_its_timer_is_lost(worker: FakeWorker):
    tasks.process_scheduled_workflows()
    lose_the_queue(watchdog_was_due=11)

    let_q2s_schedule_come()

    assert worker.sweeps == 2
    assert seconds_to_the_watchdog() == pytest.approx(12.5, abs=2)


@pytest.mark.usefixtures("_every_ten_seconds")
def test_a_schedule_that_comes_before_the_timer_is_known_to_be_lost_leaves_it_to_the_next(worker: FakeWorker):
    tasks.process_scheduled_workflows()
    lose_the_queue(watchdog_was_due=5)

    let_q2s_schedule_come()
    assert (worker.sweeps, seconds_to_the_watchdog()) == (2, None)
    lose_the_queue(watchdog_was_due=65)
    let_q2s_schedule_come()

    assert worker.sweeps == 3
    assert seconds_to_the_watchdog() == pytest.approx(12.5, abs=2)


@pytest.mark.parametrize("cause", ["a worker that starts", "a sweep"])
def test_a_watchdog_of_longer_intervals_does_not_hold_up_shorter_ones(worker: FakeWorker, settings: Any, cause: str):
    """A deploy shortens the interval: the timer that was set before would come once the longer one has passed."""
    tasks.process_scheduled_workflows()
    former = Heartbeat.objects.get(name=sweeps.WATCHDOG).started_at
    OrmQ.objects.all().delete()

    settings.AUTOMATION_Q2 = {"SWEEP_EVERY": timedelta(seconds=10)}
    sweeps.begin_in_worker() if cause == "a worker that starts" else tasks.process_scheduled_workflows()

    near = seconds_to_the_watchdog()
    assert near is not None
    assert near <= 12.5
    tasks.keep_sweeping(former.isoformat())
    assert seconds_to_the_watchdog() is not None, "and the former one ends when it comes"


def test_an_unreadable_schedule_of_somebody_elses_stops_q2s_scheduler_but_not_the_sweeps(worker: FakeWorker):
    Schedule.objects.create(name="theirs", func="shop.tasks.tidy", args="UUID('x')", next_run=ago(60))
    Schedule.objects.update(next_run=ago(60))
    scheduler()
    assert OrmQ.objects.count() == 0, "q2 runs no schedule at all"
    tasks.process_scheduled_workflows()

    let_the_watchdog_come()

    assert worker.sweeps == 2


def test_with_skip_nothing_sweeps_by_itself(worker: FakeWorker, settings):
    settings.SKIP_Q2_AUTOSCHEDULE = True
    let_the_process_look()

    tasks.execute_run(str(uuid4()))
    tasks.process_scheduled_workflows()

    assert worker.sweeps == 1
    assert calls() == []


def test_a_broker_without_timers_has_no_watchdog(q2):
    q2(BROKER_CLASS="some.Broker")

    tasks.process_scheduled_workflows()

    assert OrmQ.objects.count() == 0


def test_ten_thousand_messages_ahead_do_not_keep_a_sweep_waiting(executor: Q2Executor, worker: FakeWorker):
    """q2 takes them in the order of the table; the worker looks after the sweep in between."""
    executor.enqueue([uuid4() for _ in range(10_000)])
    swept(workflows=100)
    let_the_process_look()

    with pytest.raises(AssertionError, match="still is not empty"):
        drain(limit=5)

    assert worker.sweeps == 1


def test_a_worker_that_starts_looks_after_the_sweeps_at_once(worker: FakeWorker):
    """After an outage the queue may be empty, and q2's scheduler first looks after half a minute."""
    swept(workflows=100)

    sweeps.begin_in_worker(sender="django_q", proc_name="x")
    drain()

    assert worker.sweeps == 1


def test_workers_that_start_together_set_one_watchdog():
    for _ in range(4):
        sweeps.begin_in_worker()

    assert [name for name, _ in calls()] == ["keep_sweeping"]


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, ConnectionError])
def test_a_worker_starts_also_without_a_database(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
):
    def fail(**_: object) -> None:
        raise error("connection refused")

    monkeypatch.setattr(sweeps, "set_watchdog", fail)

    sweeps.begin_in_worker()

    assert "connection refused" in caplog.text


def test_a_long_sweep_leaves_the_run_to_a_worker_that_has_its_whole_time(
    worker: FakeWorker, processor: FakeProcessor, monkeypatch: pytest.MonkeyPatch
):
    """q2's timeout counts from the beginning of the task: a step after two sweeps would not live to its end."""
    monkeypatch.setattr("automation.q2_executor.budget.NEGLIGIBLE", 0)
    swept(workflows=73)
    let_the_process_look()
    run_id = str(uuid4())

    tasks.execute_run(run_id)

    assert (worker.sweeps, worker.executed) == (1, [])
    assert ("execute_run", (run_id,)) in calls()
    drain()
    assert worker.executed == [(run_id, None)]


def test_a_sweep_for_which_no_time_was_left_stays_overdue(
    worker: FakeWorker, processor: FakeProcessor, monkeypatch: pytest.MonkeyPatch
):
    """Its start was stamped, so nobody made up for it before the next interval had passed."""
    swept(workflows=73, events=400)
    begun = Heartbeat.objects.get(name="events").started_at
    let_the_process_look()

    def sweep_all_the_time(*, stop: Callable[[], bool]) -> Mapping[str, Any]:
        monkeypatch.setattr("automation.q2_executor.budget.SHARE", 0)
        return {"more": stop()}

    monkeypatch.setattr(worker, "process_scheduled", sweep_all_the_time)
    tasks.execute_run(str(uuid4()))

    assert processor.polls == []
    assert Heartbeat.objects.get(name="events").started_at == begun


def test_a_sweep_that_raises_does_not_take_the_run_with_it(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch):
    swept(workflows=73)
    let_the_process_look()
    monkeypatch.setattr(worker, "process_scheduled", lambda **_: 1 / 0)
    run_id = str(uuid4())

    tasks.execute_run(run_id)

    assert worker.executed == [(run_id, None)]


def test_three_thousand_due_runs_are_swept_by_one_task(worker: FakeWorker):
    """A sweep of a thousand each minute would leave the last of them for two minutes more."""
    worker.due = 3000

    done = tasks.process_scheduled_workflows()

    assert (worker.due, done["woken"]) == (0, 3000)
    assert "more" not in done


def test_what_a_sweep_has_no_time_for_is_swept_by_another_task_at_once(
    worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
):
    worker.due = 3000
    monkeypatch.setattr("automation.q2_executor.budget.SHARE", 0)

    tasks.process_scheduled_workflows()

    assert [name for name, _ in calls() if name != "keep_sweeping"] == ["process_scheduled_workflows"]


def test_of_two_sweeps_of_one_backlog_the_later_goes_on(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch):
    """Each minute brings a sweep; were each to go on until there is no more, they would soon keep every worker."""

    def sweep_while_another_begins(*, stop: Callable[[], bool]) -> Mapping[str, Any]:
        Heartbeat.objects.filter(name="workflows").update(started_at=datetime.now(UTC) + timedelta(seconds=1))
        return {"more": True}

    monkeypatch.setattr("automation.q2_executor.budget.SHARE", 0)
    monkeypatch.setattr(worker, "process_scheduled", sweep_while_another_begins)

    tasks.process_scheduled_workflows()

    assert [name for name, _ in calls()] == ["keep_sweeping"]
