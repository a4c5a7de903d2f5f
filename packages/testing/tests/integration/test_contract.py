"""The fake queue keeps the contract that real ones keep."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.db import connections, transaction

from automation.testing import FakeClock, FakeExecutor
from automation.testing.contracts import ExecutorContract
from automation.testing.contracts.side_by_side import Beside


@pytest.mark.django_db(transaction=True)
class TestFakeExecutor(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _clock(self):
        with FakeClock() as self.clock:
            yield

    def make_executor(self):
        return FakeExecutor()

    def transaction(self):
        return transaction.atomic()

    def work_off(self, executor):
        executor.run_until_idle()

    def pass_time(self, executor, by):
        self.clock.advance(by)

    def now(self):
        return datetime.now(UTC)

    @contextmanager
    def broken_transport(self, executor):
        def fail(_):
            raise ConnectionError("the queue is down")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(executor, "_queue_up", fail)
            yield

    def messages(self, executor):
        return [message.id for message in executor.pending]

    def beside(self, action):
        def act():
            try:
                return action()
            finally:
                assert threading.current_thread() is not threading.main_thread()
                connections.close_all()

        return Beside(act)
