"""Executor and dispatcher keep the contracts of their ports: on q2's table, on Redis, and without any queue."""

import os
import pydoc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections, transaction
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from automation.q2_executor import broker, sending, timers, trampoline
from automation.q2_executor.executor import Q2Dispatcher, Q2Executor
from automation.q2_executor.message import Message
from automation.testing.contracts import DispatcherContract, ExecutorContract, Transport
from automation.testing.contracts.side_by_side import Beside
from tests.queue import drain, packages

pytestmark = pytest.mark.django_db(transaction=True)

REDIS = os.environ.get("AUTOMATION_TEST_REDIS", "redis://127.0.0.1:6379/9")


class Q2Transport(Transport):
    """What is alike for all brokers."""

    @pytest.fixture(autouse=True)
    def _prepared(self, storage: Any) -> None:
        """Return the executor a storage to ask where it is."""

    def make_executor(self) -> Q2Executor:
        return Q2Executor()

    def make_dispatcher(self) -> Q2Dispatcher:
        return Q2Dispatcher()

    def transaction(self) -> AbstractContextManager[Any]:
        return transaction.atomic()

    def beside(self, action: Callable[[], Any]) -> Beside:
        def act() -> Any:
            try:
                return action()
            finally:
                connections.close_all()

        return Beside(act)

    @contextmanager
    def broken_transport(self, queue: Q2Executor | Q2Dispatcher) -> Iterator[None]:
        def fail(*_: Any, **__: Any) -> None:
            raise ConnectionError("the queue is down")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sending, "_package", fail)
            yield


class Table(Q2Transport):
    """The ORM broker on the database of the runs."""

    def work_off(self, queue: Q2Executor | Q2Dispatcher) -> None:
        drain()

    def pass_time(self, queue: Q2Executor | Q2Dispatcher, by: timedelta) -> None:
        for row in OrmQ.objects.all():
            OrmQ.objects.filter(pk=row.pk).update(lock=row.lock - by)

    def messages(self, queue: Q2Executor | Q2Dispatcher) -> Sequence[Any]:
        return [package["args"] for package in packages()]


class Redis(Q2Transport):
    """The Redis broker, with timers in a sorted set."""

    @pytest.fixture(autouse=True)
    def _redis(self, q2, settings) -> Iterator[None]:
        redis = pytest.importorskip("redis")
        self.connection = redis.from_url(REDIS)
        try:
            self.connection.ping()
        except redis.ConnectionError:
            pytest.skip(f"Redis does not answer at {REDIS}")
        queue = f"automation-test-{uuid4()}"
        q2(ORM=None, REDIS=REDIS, CLUSTER_NAME=queue)
        settings.AUTOMATION_Q2 = {"QUEUE": queue}
        self.target = broker.broker_for(queue)
        self.passed = 0.0
        yield
        for key in self.connection.scan_iter(f"*{queue}*"):
            self.connection.delete(key)
        self.connection.close()
        self.target.connection.close()

    def work_off(self, queue: Q2Executor | Q2Dispatcher) -> None:
        timers.move_due(self.target, now=time.time() + self.passed)
        while self.target.queue_size():
            package = SignedPackage.loads(self.connection.lpop(self.target.list_key))
            pydoc.locate(package["func"])(*package["args"])  # type: ignore[operator]

    def pass_time(self, queue: Q2Executor | Q2Dispatcher, by: timedelta) -> None:
        self.passed += by.total_seconds()

    def messages(self, queue: Q2Executor | Q2Dispatcher) -> Sequence[Any]:
        later = self.connection.zrange(timers._timers_of(self.target), 0, -1)
        now = self.connection.lrange(self.target.list_key, 0, -1)
        return [SignedPackage.loads(each)["args"] for each in [*now, *later]]


class NoQueue(Q2Transport):
    """`Q_CLUSTER["sync"]`."""

    @pytest.fixture(autouse=True)
    def _sync(self, q2, monkeypatch: pytest.MonkeyPatch) -> None:
        q2(SYNC=True)
        self.taken: list[Message] = []
        take = trampoline.Trampoline._take

        def noted(queue: trampoline.Trampoline, messages: Sequence[Message]) -> None:
            self.taken += messages
            take(queue, messages)

        monkeypatch.setattr(trampoline.Trampoline, "_take", noted)

    def work_off(self, queue: Q2Executor | Q2Dispatcher) -> None:
        """There is nothing left to do."""

    def pass_time(self, queue: Q2Executor | Q2Dispatcher, by: timedelta) -> None:
        """It knows no timers."""

    def messages(self, queue: Q2Executor | Q2Dispatcher) -> Sequence[Any]:
        """Nothing waits in it, so: what it has been given."""
        return [message.args for message in self.taken]

    @contextmanager
    def broken_transport(self, queue: Q2Executor | Q2Dispatcher) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("automation.q2_executor.trampoline.import_string", None)
            yield


class TestTable(Table, ExecutorContract):
    """The runs."""


class TestTableDispatcher(Table, DispatcherContract):
    """The event work."""


class TestRedis(Redis, ExecutorContract):
    """The runs."""


class TestRedisDispatcher(Redis, DispatcherContract):
    """The event work."""


class TestNoQueue(NoQueue, ExecutorContract):
    """The runs."""


class TestNoQueueDispatcher(NoQueue, DispatcherContract):
    """The event work."""
