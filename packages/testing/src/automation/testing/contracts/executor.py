"""The contract of the Executor port: a queue that brings runs to workers, as far as the engine relies on it."""

# ruff: noqa: PT012 (a transaction that raises is itself the block under test)

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from automation.testing.contracts.builders import an_id
from automation.testing.contracts.transport import Transport, leaves
from automation.workflows.ports import Executor, wiring

__all__ = ["ExecutorContract", "RecordingWorker"]


class RecordingWorker:
    """The Worker that the executor under test calls; it only takes notes."""

    def __init__(self) -> None:
        self.asked: list[UUID] = []

    def execute_step(self, run_id: UUID | str, step_name: str | None = None) -> Any:
        """Note the run."""
        self.asked.append(UUID(str(run_id)))

    def process_scheduled(self, limit: int = 1000, *, stop: Callable[[], bool] = lambda: False) -> Mapping[str, Any]:
        """Sweep nothing."""
        return {}


class ExecutorContract(Transport):
    """Subclass it, give `make_executor()` and the hooks of Transport; each test gets an executor of its own, empty."""

    def make_executor(self) -> Executor:
        """Return an executor with nothing queued. Called once for each test."""
        raise NotImplementedError(f"{type(self).__name__} has no make_executor(). Give the executor to be tested.")

    @pytest.fixture
    def worker(self) -> Iterator[RecordingWorker]:
        """Who is called when a message arrives."""
        before, wiring.worker = wiring.worker, RecordingWorker()
        try:
            yield wiring.worker
        finally:
            wiring.worker = before

    @pytest.fixture
    def executor(self, worker: RecordingWorker) -> Executor:
        """The executor under test."""
        return self.make_executor()

    def test_a_run_that_is_enqueued_is_worked_on(self, executor: Executor, worker: RecordingWorker) -> None:
        run_id = an_id()

        executor.enqueue([run_id])
        self.work_off(executor)

        assert worker.asked == [run_id]

    def test_every_run_that_is_enqueued_is_worked_on(self, executor: Executor, worker: RecordingWorker) -> None:
        """In whatever order, and perhaps twice: the engine does not mind."""
        run_ids = [an_id() for _ in range(25)]

        executor.enqueue(run_ids[:20])
        executor.enqueue(run_ids[20:])
        self.work_off(executor)

        assert set(worker.asked) == set(run_ids)

    def test_the_same_run_may_be_enqueued_again(self, executor: Executor, worker: RecordingWorker) -> None:
        run_id = an_id()

        for _ in range(2):
            executor.enqueue([run_id])
            self.work_off(executor)

        assert set(worker.asked) == {run_id}
        assert Counter(worker.asked)[run_id] >= 2

    def test_enqueue_of_nothing_is_nothing(self, executor: Executor, worker: RecordingWorker) -> None:
        executor.enqueue([])
        executor.enqueue([], run_after=self.now())
        self.work_off(executor)

        assert worker.asked == []

    def test_no_worker_acts_before_the_transaction_commits(self, executor: Executor, worker: RecordingWorker) -> None:
        """Guarantee 1."""
        run_id = an_id()

        with self.transaction():
            executor.enqueue([run_id])
            self.work_off_meanwhile(executor)
            assert worker.asked == []
        self.work_off(executor)

        assert worker.asked == [run_id]

    def test_a_rollback_raises_nothing_and_leaves_the_executor_working(
        self, executor: Executor, worker: RecordingWorker
    ) -> None:
        """Guarantee 1: at most a harmless hint is left."""
        undone, run_id = an_id(), an_id()

        with pytest.raises(ZeroDivisionError), self.transaction():
            executor.enqueue([undone])
            raise ZeroDivisionError
        executor.enqueue([run_id])
        self.work_off(executor)

        assert run_id in worker.asked
        assert set(worker.asked) <= {undone, run_id}

    def test_a_failure_to_send_does_not_reach_the_caller_once_it_has_committed(
        self, executor: Executor, worker: RecordingWorker
    ) -> None:
        """Guarantee 2: the row is stored, and a sweep will find it."""
        run_id = an_id()

        with self.broken_transport(executor), self.transaction(), suppress(Exception):
            # Before the commit it may raise: the engine catches and logs whatever comes.
            executor.enqueue([an_id()])
        executor.enqueue([run_id])
        self.work_off(executor)

        assert run_id in worker.asked

    def test_a_message_carries_ids_only(self, executor: Executor) -> None:
        """Guarantee 3: text and UUIDs, so that a message can be read by any release and reveals nothing."""
        executor.enqueue([an_id(), an_id()])
        executor.enqueue([an_id()], run_after=self.now() + min(timedelta(seconds=5), executor.horizon))

        messages = list(self.messages(executor))
        assert messages, "messages() showed nothing of what was just enqueued."
        assert {type(leaf) for message in messages for leaf in leaves(message)} <= {str, UUID}

    def test_a_message_is_never_early(self, executor: Executor, worker: RecordingWorker) -> None:
        """Guarantee 4: held back, or dropped and left to the sweep."""
        executor.enqueue([an_id()], run_after=self.now() + timedelta(seconds=90))
        executor.enqueue([an_id()], run_after=self.now() + timedelta(days=400))
        self.work_off(executor)
        # A real clock goes on by itself while a busy machine gets from one line to the next.
        self.pass_time(executor, timedelta(seconds=60))
        self.work_off(executor)

        assert worker.asked == []

    def test_a_message_within_the_horizon_arrives_at_its_time(
        self, executor: Executor, worker: RecordingWorker
    ) -> None:
        """An executor that knows no timers has a horizon of nought: what is due now arrives now."""
        run_id = an_id()
        ahead = min(timedelta(seconds=5), executor.horizon)

        executor.enqueue([run_id], run_after=self.now() + ahead)
        self.pass_time(executor, ahead + timedelta(seconds=1))
        self.work_off(executor)

        assert worker.asked == [run_id]

    def test_a_time_that_has_passed_means_now(self, executor: Executor, worker: RecordingWorker) -> None:
        run_id = an_id()

        executor.enqueue([run_id], run_after=self.now() - timedelta(days=1))
        self.work_off(executor)

        assert worker.asked == [run_id]

    def test_the_horizon_is_a_length_of_time(self, executor: Executor) -> None:
        assert executor.horizon >= timedelta(0)
