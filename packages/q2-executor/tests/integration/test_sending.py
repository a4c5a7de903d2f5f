"""Messages: part of the transaction where that can be, after the commit elsewhere, never more than ids."""

import pickle
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core import signing
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Success, Task

from automation.q2_executor import broker, sending
from automation.q2_executor.executor import Q2Dispatcher, Q2Executor
from automation.q2_executor.models import Heartbeat
from tests.fakes import FakeProcessor, FakeStorage, FakeWorker
from tests.queue import calls, drain, fetchable, packages
from tests.transactions import rolled_back

pytestmark = pytest.mark.django_db(transaction=True)


class FakeBroker:
    """A broker that fires at once, like Redis."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.raises: Exception | None = None

    def enqueue(self, package: str) -> None:
        if self.raises is not None:
            raise self.raises
        self.sent.append(package)


@pytest.fixture
def fires_at_once(q2, monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    q2(ORM=None, BROKER_CLASS="some.Broker")
    fake = FakeBroker()
    monkeypatch.setattr(broker, "broker_for", lambda _queue: fake)
    return fake


def test_a_run_is_enqueued_by_its_id_alone(executor: Q2Executor):
    run_id = uuid4()

    executor.enqueue([run_id])

    assert calls() == [("execute_run", (str(run_id),))]


def test_a_task_leaves_no_trace_and_is_not_repeated_when_it_fails(executor: Q2Executor):
    executor.enqueue([uuid4()])

    package = packages()[0]
    assert package["save"] is False
    assert package["ack_failure"] is True
    assert package["cached"] is False


def test_the_log_says_what_was_sent_and_to_which_queue(
    executor: Q2Executor, settings, caplog: pytest.LogCaptureFixture
):
    """It said "Enqueued [automation] automation" for everything."""
    settings.AUTOMATION_Q2 = {"QUEUE": "jobs"}
    run_id = uuid4()

    with caplog.at_level("INFO", logger="django-q"):
        executor.enqueue([run_id])

    assert f"Enqueued [jobs] execute_run {run_id}" in caplog.text


def test_a_package_holds_nothing_but_plain_values(executor: Q2Executor, dispatcher: Q2Dispatcher):
    """Loading it with an unpickler that knows no class but the time of sending must do."""
    executor.enqueue([uuid4()])
    dispatcher.deliver([uuid4()], using="default")

    class Strict(signing.JSONSerializer):
        def loads(self, data: bytes):
            class Unpickler(pickle.Unpickler):
                def find_class(self, module: str, name: str):
                    assert module == "datetime", f"{module}.{name} is in the package"
                    return super().find_class(module, name)

            from io import BytesIO

            return Unpickler(BytesIO(data)).load()

    for row in OrmQ.objects.all():
        package = signing.loads(row.payload, key=Conf.SECRET_KEY, salt=Conf.PREFIX, serializer=Strict)
        assert all(type(argument) is str for argument in package["args"])
        assert package["kwargs"] == {}


def test_messages_are_part_of_the_transaction(executor: Q2Executor):
    with transaction.atomic():
        executor.enqueue([uuid4()])
        assert OrmQ.objects.count() == 1

    assert OrmQ.objects.count() == 1


def test_a_rollback_takes_the_messages_with_it(executor: Q2Executor, dispatcher: Q2Dispatcher):
    with rolled_back():
        executor.enqueue([uuid4()])
        dispatcher.deliver([uuid4()], using="default")
        dispatcher.hint(datetime.now(UTC), using="default")

    assert OrmQ.objects.count() == 0


def test_five_hundred_messages_are_as_few_statements_as_the_database_allows(executor: Q2Executor):
    """SQLite takes a limited number of values in one, which depends on Django's release."""
    fields = [OrmQ._meta.get_field(name) for name in ("key", "payload", "lock")]
    at_once = connection.ops.bulk_batch_size(fields, [OrmQ()] * 500)

    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        executor.enqueue([uuid4() for _ in range(500)])

    inserts = [each["sql"] for each in captured if each["sql"].startswith("INSERT")]
    assert len(inserts) == -(-500 // at_once) <= 2
    assert [each["sql"].split()[0] for each in captured if each["sql"] not in inserts] == ["SAVEPOINT", "RELEASE"]
    assert OrmQ.objects.count() == 500


def test_what_is_handed_over_together_is_one_statement(executor: Q2Executor, dispatcher: Q2Dispatcher):
    """Starts at many times, calls and a date of one save: the first times and the last are as they were given."""
    soon = [datetime.now(UTC) + timedelta(seconds=seconds) for seconds in range(1, 21)]

    with transaction.atomic(), CaptureQueriesContext(connection) as captured, dispatcher.together():
        executor.enqueue([uuid4()])
        for at in soon:
            executor.enqueue([uuid4()], run_after=at)
        dispatcher.deliver([uuid4(), uuid4()], using="default")
        dispatcher.hint(soon[0], using="default")
        assert len(captured) == 0

    assert sum("INSERT" in each["sql"] for each in captured) == 1
    assert Counter(name for name, _ in calls()) == {"execute_run": 21, "deliver_event": 2, "wake_events": 1}
    assert sorted(OrmQ.objects.filter(lock__gt=datetime.now(UTC)).values_list("lock", flat=True)) == [soon[0], *soon]


def test_what_is_handed_over_together_is_dropped_when_the_block_raises(executor: Q2Executor, dispatcher: Q2Dispatcher):
    def fail() -> None:
        with dispatcher.together():
            executor.enqueue([uuid4()])
            raise ZeroDivisionError

    with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            fail()
        executor.enqueue([uuid4()])

    assert len(calls()) == 1


def test_what_is_handed_over_together_follows_the_commit_where_the_broker_fires_at_once(
    executor: Q2Executor, dispatcher: Q2Dispatcher, fires_at_once: FakeBroker
):
    with transaction.atomic():
        with dispatcher.together(), dispatcher.together():
            executor.enqueue([uuid4()])
            dispatcher.deliver([uuid4()], using="default")
        assert fires_at_once.sent == []

    assert len(fires_at_once.sent) == 2


def test_no_messages_are_no_statement(executor: Q2Executor, dispatcher: Q2Dispatcher):
    with CaptureQueriesContext(connection) as captured:
        executor.enqueue([])
        dispatcher.deliver([], using="default")

    assert len(captured) == 0


def test_a_broker_that_fires_at_once_hears_of_it_after_the_commit(executor: Q2Executor, fires_at_once: FakeBroker):
    with transaction.atomic():
        executor.enqueue([uuid4()])
        assert fires_at_once.sent == []

    assert len(fires_at_once.sent) == 1


def test_a_broker_that_fires_at_once_hears_nothing_of_a_rollback(executor: Q2Executor, fires_at_once: FakeBroker):
    with rolled_back():
        executor.enqueue([uuid4()])

    assert fires_at_once.sent == []


def test_a_broker_that_is_down_does_not_reach_the_caller(
    executor: Q2Executor, fires_at_once: FakeBroker, caplog: pytest.LogCaptureFixture
):
    fires_at_once.raises = ConnectionError("the broker is down")

    with transaction.atomic():
        executor.enqueue([uuid4()])

    assert "the broker is down" in caplog.text


def test_a_table_that_is_down_does_not_reach_a_caller_outside_a_transaction(
    executor: Q2Executor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> None:
        raise ConnectionError("the table is down")

    monkeypatch.setattr(sending, "_insert", fail)

    executor.enqueue([uuid4()])

    assert "the table is down" in caplog.text


@pytest.mark.parametrize("held", [True, False], ids=["together", "alone"])
def test_a_table_that_is_missing_takes_no_row_of_the_caller_with_it(
    executor: Q2Executor, dispatcher: Q2Dispatcher, monkeypatch: pytest.MonkeyPatch, held: bool
):
    """Without a savepoint PostgreSQL refuses the rest of the transaction, and its commit is a silent rollback."""
    monkeypatch.setattr(OrmQ._meta, "db_table", "nowhere")

    with transaction.atomic():
        Heartbeat.objects.create(name="before")
        with dispatcher.together() if held else suppress(DatabaseError):
            executor.enqueue([uuid4()])
        Heartbeat.objects.create(name="after")

    assert {"before", "after"} <= set(Heartbeat.objects.values_list("name", flat=True))


def test_a_table_on_another_database_is_written_after_the_commit(
    executor: Q2Executor, storage: FakeStorage, q2, monkeypatch: pytest.MonkeyPatch
):
    """As if q2's table were elsewhere: what matters is that nothing is written while the caller's transaction runs."""
    q2(ORM="elsewhere")
    inserted: list[int] = []
    monkeypatch.setattr(sending, "_insert", lambda messages, _queue: inserted.append(len(messages)))

    with transaction.atomic():
        executor.enqueue([uuid4()])
        assert inserted == []

    assert inserted == [1]


def test_the_callers_connection_is_never_closed(executor: Q2Executor):
    """q2's own ORM broker closes old connections when it is used outside a transaction."""
    connection.ensure_connection()
    connection.close_at = 0
    before = connection.connection

    executor.enqueue([uuid4()])

    assert connection.connection is before
    connection.close_at = None


def test_messages_go_to_the_main_queue_also_from_a_worker_of_another(executor: Q2Executor, q2):
    q2(CLUSTER_NAME="sweeps")

    executor.enqueue([uuid4()])

    assert OrmQ.objects.get().key == "automation"


def test_the_queue_can_be_chosen(executor: Q2Executor, settings):
    settings.AUTOMATION_Q2 = {"QUEUE": "runs"}

    executor.enqueue([uuid4()])

    assert OrmQ.objects.get().key == "runs"


def test_deliveries_are_one_task_each_with_their_database(dispatcher: Q2Dispatcher, processor: FakeProcessor):
    first, second = uuid4(), uuid4()

    dispatcher.deliver([first, second], using="default")
    drain()

    assert sorted(processor.delivered) == sorted([("default", [first]), ("default", [second])])


def test_nothing_piles_up_after_ten_thousand_runs(executor: Q2Executor, worker: FakeWorker, q2):
    """Through q2's own worker and monitor, in this process."""
    q2(RECYCLE=20_000)
    from multiprocessing import Value
    from queue import Queue

    from django_q.brokers import get_broker
    from django_q.monitor import monitor
    from django_q.signing import SignedPackage
    from django_q.worker import worker as q2_worker

    executor.enqueue([uuid4() for _ in range(10_000)])
    tasks: Queue = Queue()
    results: Queue = Queue()
    for row in OrmQ.objects.all():
        tasks.put({**SignedPackage.loads(row.payload), "ack_id": row.pk, "cluster": "automation", "sync": True})
    tasks.put("STOP")
    with transaction.atomic():
        q2_worker(tasks, results, Value("f", -1), 50)
        results.put("STOP")
        monitor(results, get_broker())

    assert len(worker.executed) == 10_000
    assert [model.objects.count() for model in (Task, Success, Failure)] == [0, 0, 0]
    assert [name for name, _ in calls()] == ["keep_sweeping"], "one watchdog, whatever was done"


class TestSync:
    """`Q_CLUSTER["sync"]`: in this process, after the commit, one after the other."""

    @pytest.fixture(autouse=True)
    def _sync(self, q2) -> None:
        q2(SYNC=True)

    def test_a_run_is_executed_after_the_commit(self, executor: Q2Executor, worker: FakeWorker):
        with transaction.atomic():
            executor.enqueue([uuid4()])
            assert worker.executed == []

        assert len(worker.executed) == 1
        assert fetchable() == 0

    def test_a_run_that_enqueues_another_is_not_nested_in_it(
        self, executor: Q2Executor, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
    ):
        depths: list[int] = []
        depth = 0

        def execute_step(run_id: str, step_name: str | None = None) -> None:
            nonlocal depth
            depth += 1
            depths.append(depth)
            if len(depths) < 1500:
                executor.enqueue([uuid4()])
            depth -= 1

        monkeypatch.setattr(worker, "execute_step", execute_step)

        executor.enqueue([uuid4()])

        assert len(depths) == 1500
        assert set(depths) == {1}

    def test_what_is_for_later_is_left_to_the_sweeps(self, executor: Q2Executor, worker: FakeWorker):
        executor.enqueue([uuid4()], run_after=datetime.now(UTC) + timedelta(seconds=1))

        assert executor.horizon == timedelta(0)
        assert worker.executed == []

    def test_an_error_reaches_no_caller_and_stops_no_later_message(
        self, executor: Q2Executor, worker: FakeWorker, caplog: pytest.LogCaptureFixture
    ):
        worker.raises = ValueError("the engine broke")
        executor.enqueue([uuid4()])
        worker.raises = None

        executor.enqueue([uuid4()])

        assert "the engine broke" in caplog.text
        assert len(worker.executed) == 2
