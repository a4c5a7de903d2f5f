"""The fake queue keeps the contracts that real ones keep."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.db import connections, transaction

from automation.testing import FakeClock, FakeExecutor
from automation.testing.contracts import DispatcherContract, ExecutorContract, Transport
from automation.testing.contracts.side_by_side import Beside


class InMemory(Transport):
    """How the fake queue is handled."""

    @pytest.fixture(autouse=True)
    def _clock(self):
        with FakeClock() as self.clock:
            yield

    def transaction(self):
        return transaction.atomic()

    def work_off(self, queue):
        queue.run_until_idle()

    def pass_time(self, queue, by):
        self.clock.advance(by)

    def now(self):
        return datetime.now(UTC)

    @contextmanager
    def broken_transport(self, queue):
        def fail(_):
            raise ConnectionError("the queue is down")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queue, "_queue_up", fail)
            yield

    def messages(self, queue):
        return [[part for part in (message.id, message.using) if part is not None] for message in queue.pending]

    def beside(self, action):
        def act():
            try:
                return action()
            finally:
                assert threading.current_thread() is not threading.main_thread()
                connections.close_all()

        return Beside(act)


@pytest.mark.django_db(transaction=True)
class TestFakeExecutor(InMemory, ExecutorContract):
    """As the executor of workflows."""

    def make_executor(self):
        return FakeExecutor()


@pytest.mark.django_db(transaction=True)
class TestFakeExecutorAsDispatcher(InMemory, DispatcherContract):
    """As the dispatcher of events."""

    def make_dispatcher(self):
        return FakeExecutor()
