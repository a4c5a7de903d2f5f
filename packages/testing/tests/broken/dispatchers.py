"""A dispatcher in memory that keeps its contract, and others that are each broken in one way."""

import logging
from contextlib import contextmanager
from datetime import timedelta

from automation.events.ports import wiring
from automation.testing.contracts import DispatcherContract
from automation.testing.contracts.builders import NOW
from tests.broken.telling import Broken, breaks

__all__ = ["BROKEN", "IntactQueue"]

BROKEN: Broken = {}


class Queue:
    """Messages with their times; a clock and a transaction of its own."""

    horizon = timedelta(minutes=8)

    def __init__(self):
        self.now = NOW
        self.is_down = False
        self.queued = []
        self.uncommitted = None
        self.gathered = None

    def deliver(self, delivery_ids, *, using):
        for delivery_id in delivery_ids:
            self.send({"id": delivery_id, "using": using, "at": self.now})

    def hint(self, at, *, using):
        self.send({"using": using, "at": at})

    def send(self, message):
        for waiting in (self.gathered, self.uncommitted):
            if waiting is not None:
                waiting.append(message)
                return
        self.put(message)

    def put(self, message):
        if self.is_down:
            logging.getLogger("queue").error("not sent: %s", message)
        else:
            self.queued.append(message)

    @contextmanager
    def transaction(self):
        self.uncommitted = []
        try:
            yield
            messages = self.uncommitted
        finally:
            self.uncommitted = None
        for message in messages:
            self.put(message)

    @contextmanager
    def together(self):
        self.gathered = []
        try:
            yield
            messages = self.gathered
        finally:
            self.gathered = None
        for message in messages:
            self.send(message)

    def work_off(self):
        due = [message for message in self.queued if message["at"] <= self.now]
        self.queued = [message for message in self.queued if message["at"] > self.now]
        for message in due:
            self.work(message)

    def work(self, message):
        if "id" in message:
            wiring.processor.deliver([message["id"]], using=message["using"])
        else:
            wiring.processor.process_due_events()


class IntactQueue(DispatcherContract):
    """The queue as it is; what is broken says in `queue_class` how."""

    queue_class = Queue

    def make_dispatcher(self):
        self.made = self.queue_class()
        return self.made

    def transaction(self):
        return self.made.transaction()

    def work_off(self, queue):
        queue.work_off()

    def pass_time(self, queue, by):
        queue.now += by

    def now(self):
        return self.made.now

    def messages(self, queue):
        return queue.queued

    @contextmanager
    def broken_transport(self, queue):
        queue.is_down = True
        yield
        # The transaction inside has ended by now.
        queue.is_down = False


def queue(*claims: str):
    """Note a queue that fails these claims."""

    def note(broken):
        breaks(BROKEN, *claims)(type(broken.__name__, (IntactQueue,), {"queue_class": broken}))
        return broken

    return note


@queue(
    "a_delivery_is_made_on_its_database",
    "a_failure_to_send_is_logged_and_does_not_reach_who_has_committed",
    "no_worker_acts_before_the_transaction_commits",
    "the_same_delivery_may_be_handed_over_again",
)
class DeliversOnAnotherDatabase(Queue):
    def work(self, message):
        super().work({**message, "using": "another"})


@queue(
    "every_delivery_is_made",
)
class DeliversTheFirstTen(Queue):
    def deliver(self, delivery_ids, *, using):
        super().deliver(delivery_ids[:10], using=using)


@queue(
    "the_same_delivery_may_be_handed_over_again",
)
class DeliversOnce(Queue):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def deliver(self, delivery_ids, *, using):
        super().deliver([each for each in delivery_ids if each not in self.seen], using=using)
        self.seen.update(delivery_ids)


@queue(
    "no_deliveries_are_nothing",
)
class LooksForNoDeliveries(Queue):
    def deliver(self, delivery_ids, *, using):
        super().deliver(delivery_ids, using=using)
        if not delivery_ids:
            self.hint(self.now, using=using)


@queue(
    "no_worker_acts_before_the_transaction_commits",
)
class SendsBeforeTheCommit(Queue):
    def send(self, message):
        if self.gathered is None:
            self.put(message)
        else:
            super().send(message)


@queue(
    "a_rollback_raises_nothing_and_leaves_the_dispatcher_working",
)
class StopsAfterARollback(Queue):
    @contextmanager
    def transaction(self):
        try:
            with super().transaction():
                yield
        except ZeroDivisionError:
            self.uncommitted = []
            raise


@queue(
    "a_failure_to_send_is_logged_and_does_not_reach_who_has_committed",
)
class RaisesAfterTheCommit(Queue):
    def put(self, message):
        if self.is_down:
            raise ConnectionError("the queue is down")
        super().put(message)


@queue(
    "a_failure_to_send_is_logged_and_does_not_reach_who_has_committed",
)
class KeepsFailuresToItself(Queue):
    def put(self, message):
        if not self.is_down:
            super().put(message)


@queue(
    "a_message_carries_ids_times_and_the_alias_only",
)
class SendsWhatToCall(Queue):
    def put(self, message):
        super().put({**message, "callback": "shop.automations.send_welcome"})


@queue(
    "a_failure_to_send_is_logged_and_does_not_reach_who_has_committed",
    "a_hint_lets_due_events_be_looked_at",
    "no_worker_acts_before_the_transaction_commits",
)
class IgnoresHintsForNow(Queue):
    def hint(self, at, *, using):
        if at != self.now:
            super().hint(at, using=using)


@queue(
    "a_hint_is_never_early",
)
class HintsAtOnce(Queue):
    def hint(self, at, *, using):
        super().hint(self.now, using=using)


@queue(
    "a_hint_within_the_horizon_arrives_at_its_time",
)
class KnowsNoTimersAndSaysItDoes(Queue):
    def hint(self, at, *, using):
        if at <= self.now:
            super().hint(at, using=using)


@queue(
    "a_time_that_has_passed_means_now",
)
class RefusesThePast(Queue):
    def hint(self, at, *, using):
        if at >= self.now:
            super().hint(at, using=using)


@queue(
    "the_horizon_is_a_length_of_time",
)
class LooksBack(Queue):
    horizon = -timedelta(seconds=1)


@queue(
    "what_is_sent_together_arrives_after_the_block",
)
class GathersForEver(Queue):
    @contextmanager
    def together(self):
        self.gathered = []
        yield


@queue(
    "a_block_that_raises_sends_nothing",
)
class SendsWhatWasGivenUp(Queue):
    @contextmanager
    def together(self):
        yield
