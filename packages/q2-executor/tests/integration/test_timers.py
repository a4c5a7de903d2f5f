"""Near times are kept in the queue: never early, durable, part of the transaction where that can be."""

import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.brokers import get_broker
from django_q.models import OrmQ

from automation.q2_executor import broker, tasks, timers
from automation.q2_executor.executor import Q2Dispatcher, Q2Executor
from tests.fakes import FakeProcessor
from tests.queue import calls, drain, fetchable
from tests.transactions import rolled_back

pytestmark = pytest.mark.django_db(transaction=True)

REDIS = os.environ.get("AUTOMATION_TEST_REDIS", "redis://127.0.0.1:6379/9")


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_timer_is_a_row_that_q2_does_not_fetch_before_its_time(executor: Q2Executor):
    at = soon(60)

    executor.enqueue([uuid4()], run_after=at)

    assert OrmQ.objects.get().lock == at
    assert fetchable() == 0


def test_q2_fetches_a_timer_once_its_time_has_come(executor: Q2Executor):
    executor.enqueue([uuid4()], run_after=soon(60))
    OrmQ.objects.update(lock=soon(-0.01))

    assert len(get_broker().dequeue()) == 1


def test_a_time_that_has_passed_is_as_soon_as_possible(executor: Q2Executor):
    executor.enqueue([uuid4()], run_after=soon(-3600))

    assert fetchable() == 1


def test_a_rollback_takes_the_timer_with_it(executor: Q2Executor):
    with rolled_back():
        executor.enqueue([uuid4()], run_after=soon(5))

    assert OrmQ.objects.count() == 0


@pytest.mark.parametrize(("seconds", "kept"), [(170, 1), (190, 0)])
def test_only_near_times_of_runs_are_kept(executor: Q2Executor, seconds: float, kept: int):
    """The horizon is three minutes: q2's table has no index on the time."""
    executor.enqueue([uuid4()], run_after=soon(seconds))

    assert OrmQ.objects.count() == kept


@pytest.mark.parametrize(("seconds", "kept"), [(470, 1), (490, 0)])
def test_only_near_dates_of_events_are_kept(dispatcher: Q2Dispatcher, seconds: float, kept: int):
    """The horizon is eight minutes, because events are polled for each five."""
    dispatcher.hint(soon(seconds), using="default")

    assert OrmQ.objects.count() == kept


def test_a_hint_lets_due_events_occur(dispatcher: Q2Dispatcher, processor: FakeProcessor):
    dispatcher.hint(soon(-1), using="default")

    assert calls() == [("wake_events", ())]
    drain()
    assert processor.polls == [24]


def test_a_poll_sets_no_timer_where_there_is_one(dispatcher: Q2Dispatcher):
    """Else every save of a near date would begin a chain of polls that wake at each date to come."""
    at = soon(60)
    with transaction.atomic():
        dispatcher.hint(at, using="default")

    for _ in range(3):
        dispatcher.hint(at, using="default")

    assert calls() == [("wake_events", ())]


def test_a_timer_of_a_run_at_the_same_moment_is_another_one(executor: Q2Executor, dispatcher: Q2Dispatcher):
    at = soon(60)
    executor.enqueue([uuid4()], run_after=at)

    dispatcher.hint(at, using="default")

    assert sorted(name for name, _ in calls()) == ["execute_run", "wake_events"]


def test_packages_that_cannot_be_read_are_not_ours(dispatcher: Q2Dispatcher):
    at = soon(60)
    OrmQ.objects.create(key="automation", payload="not a package", lock=at)

    dispatcher.hint(at, using="default")

    assert OrmQ.objects.count() == 2


def test_a_sweep_sets_the_missing_timers_only_and_all_at_once(executor: Q2Executor, worker, monkeypatch):
    runs = [uuid4() for _ in range(100)]
    at = soon(60)
    executor.enqueue(runs[:50], run_after=at)

    def sweep(**_: object) -> dict[str, int]:
        for run_id in runs:
            executor.enqueue([run_id], run_after=at)
        return {}

    monkeypatch.setattr(worker, "process_scheduled", sweep)
    with CaptureQueriesContext(connection) as captured:
        tasks.process_scheduled_workflows()

    assert Counter(args for name, args in calls() if name == "execute_run") == {(str(run_id),): 1 for run_id in runs}
    assert len([each for each in captured if "ormq" in each["sql"]]) <= 3, "look, insert, and the watchdog"


def test_what_a_sweep_makes_ready_is_part_of_its_transactions(executor: Q2Executor, worker, monkeypatch):
    def sweep(**_: object) -> dict[str, int]:
        with rolled_back():
            executor.enqueue([uuid4()], run_after=soon(5))
        return {}

    monkeypatch.setattr(worker, "process_scheduled", sweep)
    tasks.process_scheduled_workflows()

    assert [name for name, _ in calls()] == ["keep_sweeping"]


@pytest.mark.parametrize("broker_class", [None, "some.Broker"])
def test_without_timers_there_is_no_horizon(
    executor: Q2Executor, dispatcher: Q2Dispatcher, q2, settings, broker_class: str | None
):
    if broker_class:
        q2(BROKER_CLASS=broker_class)
    else:
        settings.AUTOMATION_Q2 = {"TIMERS": False}

    executor.enqueue([uuid4()], run_after=soon(1))
    dispatcher.hint(soon(1), using="default")

    assert (executor.horizon, dispatcher.horizon) == (timedelta(0), timedelta(0))
    assert OrmQ.objects.count() == 0


class TestRedis:
    """Timers in a sorted set, moved to q2's list by the worker processes."""

    @pytest.fixture(autouse=True)
    def _redis(self, q2):
        redis = pytest.importorskip("redis")
        connection = redis.from_url(REDIS)
        try:
            connection.ping()
        except redis.ConnectionError:
            pytest.skip(f"Redis does not answer at {REDIS}")
        queue = f"automation-test-{uuid4()}"
        q2(ORM=None, REDIS=REDIS, CLUSTER_NAME=queue, PREFIX=queue)
        self.settings_queue = queue
        yield
        for key in connection.scan_iter(f"*{queue}*"):
            connection.delete(key)
        connection.close()

    @pytest.fixture
    def target(self, settings):
        settings.AUTOMATION_Q2 = {"QUEUE": self.settings_queue}
        target = broker.broker_for(self.settings_queue)
        yield target
        target.connection.close()

    def test_a_timer_reaches_the_list_when_its_time_has_come_and_only_once(self, executor: Q2Executor, target):
        at = soon(60)
        executor.enqueue([uuid4()], run_after=at)

        early = timers.move_due(target, now=at.timestamp() - 0.001)
        in_time = timers.move_due(target, now=at.timestamp())
        again = timers.move_due(target, now=at.timestamp())

        assert (early, in_time, again) == (0, 1, 0)
        assert target.queue_size() == 1

    def test_a_message_for_now_is_in_the_list_at_once(self, executor: Q2Executor, target):
        executor.enqueue([uuid4()])

        assert target.queue_size() == 1

    def test_timers_are_kept_after_the_commit_only(self, executor: Q2Executor, target):
        far = time.time() + 3600
        with rolled_back():
            executor.enqueue([uuid4()], run_after=soon(5))

        assert timers.move_due(target, now=far) == 0

    def test_a_great_many_timers_are_moved_in_portions(self, executor: Q2Executor, target):
        executor.enqueue([uuid4() for _ in range(150)], run_after=soon(5))
        far = time.time() + 3600

        assert [timers.move_due(target, now=far) for _ in range(3)] == [100, 50, 0]

    def test_a_poll_sets_no_timer_where_there_is_one(self, dispatcher: Q2Dispatcher, target):
        at = soon(60)
        for _ in range(3):
            dispatcher.hint(at, using="default")

        assert timers.move_due(target, now=time.time() + 3600) == 1

    def test_a_redis_that_is_down_does_not_reach_a_poll(
        self, dispatcher: Q2Dispatcher, target, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ):
        def fail(*_: object, **__: object) -> None:
            raise ConnectionError("Redis is down")

        monkeypatch.setattr(target.connection, "zrangebyscore", fail)

        dispatcher.hint(soon(5), using="default")

        assert "Redis is down" in caplog.text

    def test_a_redis_that_is_down_is_left_alone_for_a_while(self, target, q2, caplog: pytest.LogCaptureFixture):
        q2(REDIS="redis://127.0.0.1:1/0")

        assert timers._look(f"another-{uuid4()}") == timers.TROUBLE_SECONDS
        assert "could not be read from Redis" in caplog.text
