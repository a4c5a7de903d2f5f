"""An executor in memory that keeps its contract, and others that are each broken in one way."""

from datetime import timedelta

from automation.testing.contracts import ExecutorContract
from automation.testing.contracts.builders import an_id
from automation.workflows.ports import wiring
from tests.broken.messages import InMemory, Messages, RaisesWhenDown, StuckAfterARollback
from tests.broken.telling import Broken, breaks

__all__ = ["BROKEN", "IntactQueue"]

BROKEN: Broken = {}


class Queue(Messages):
    """Runs as they should be sent and worked on."""

    def enqueue(self, run_ids, run_after=None):
        for run_id in run_ids:
            self.send({"id": run_id, "at": run_after or self.now})

    def work(self, message):
        wiring.worker.execute_step(message["id"])


class IntactQueue(InMemory, ExecutorContract):
    """The queue as it is; what is broken says in `queue_class` how."""

    queue_class = Queue

    def make_executor(self):
        return self.make()

    def messages(self, queue):
        return [{name: value for name, value in message.items() if name != "at"} for message in queue.queued]


def queue(*claims: str):
    """Note a queue that fails these claims."""

    def note(broken):
        breaks(BROKEN, *claims)(type(broken.__name__, (IntactQueue,), {"queue_class": broken}))
        return broken

    return note


@queue(
    "a_failure_to_send_does_not_reach_the_caller_once_it_has_committed",
    "a_message_carries_ids_only",
    "a_message_within_the_horizon_arrives_at_its_time",
    "a_rollback_raises_nothing_and_leaves_the_executor_working",
    "a_run_that_is_enqueued_is_worked_on",
    "a_time_that_has_passed_means_now",
    "every_run_that_is_enqueued_is_worked_on",
    "no_worker_acts_before_the_transaction_commits",
    "the_same_run_may_be_enqueued_again",
)
class Loses(Queue):
    def put(self, message):
        pass


@queue(
    "every_run_that_is_enqueued_is_worked_on",
)
class TakesTheFirstTen(Queue):
    def enqueue(self, run_ids, run_after=None):
        super().enqueue(run_ids[:10], run_after)


@queue(
    "the_same_run_may_be_enqueued_again",
)
class WorksOnce(Queue):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def enqueue(self, run_ids, run_after=None):
        super().enqueue([each for each in run_ids if each not in self.seen], run_after)
        self.seen.update(run_ids)


@queue(
    "enqueue_of_nothing_is_nothing",
)
class TakesNoneForAll(Queue):
    def enqueue(self, run_ids, run_after=None):
        super().enqueue(run_ids or [an_id()], run_after)


@queue(
    "no_worker_acts_before_the_transaction_commits",
)
class SendsBeforeTheCommit(Queue):
    def send(self, message):
        self.put(message)


@queue(
    "a_rollback_raises_nothing_and_leaves_the_executor_working",
)
class StopsAfterARollback(StuckAfterARollback, Queue):
    pass


@queue(
    "a_failure_to_send_does_not_reach_the_caller_once_it_has_committed",
)
class RaisesAfterTheCommit(RaisesWhenDown, Queue):
    pass


@queue(
    "a_failure_to_send_does_not_reach_the_caller_once_it_has_committed",
)
class StopsAfterAFailure(Queue):
    has_failed = False

    def put(self, message):
        self.has_failed = self.has_failed or self.is_down
        if not self.has_failed:
            super().put(message)


@queue(
    "a_message_carries_ids_only",
)
class SendsTheAttempt(Queue):
    def put(self, message):
        super().put({**message, "attempt": 1})


@queue(
    "a_message_is_never_early",
)
class WorksAtOnce(Queue):
    def enqueue(self, run_ids, run_after=None):
        super().enqueue(run_ids)


@queue(
    "a_message_within_the_horizon_arrives_at_its_time",
)
class KnowsNoTimersAndSaysItDoes(Queue):
    def enqueue(self, run_ids, run_after=None):
        if run_after is None or run_after <= self.now:
            super().enqueue(run_ids, run_after)


@queue(
    "a_time_that_has_passed_means_now",
)
class RefusesThePast(Queue):
    def enqueue(self, run_ids, run_after=None):
        if run_after is None or run_after >= self.now:
            super().enqueue(run_ids, run_after)


@queue(
    "the_horizon_is_a_length_of_time",
)
class LooksBack(Queue):
    horizon = -timedelta(seconds=1)
