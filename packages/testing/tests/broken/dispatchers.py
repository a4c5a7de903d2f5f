"""A dispatcher in memory that keeps its contract, and others that are each broken in one way."""

from contextlib import contextmanager
from datetime import timedelta

from automation.events.ports import wiring
from automation.testing.contracts import DispatcherContract
from tests.broken.messages import InMemory, Messages, RaisesWhenDown, StuckAfterARollback
from tests.broken.telling import Broken, breaks

__all__ = ["BROKEN", "IntactQueue"]

BROKEN: Broken = {}


class Queue(Messages):
    """Event work as it should be sent and done."""

    def deliver(self, delivery_ids, *, using):
        for delivery_id in delivery_ids:
            self.send({"id": delivery_id, "using": using, "at": self.now})

    def hint(self, at, *, using):
        self.send({"using": using, "at": at})

    def work(self, message):
        if "id" in message:
            wiring.processor.deliver([message["id"]], using=message["using"])
        else:
            wiring.processor.process_due_events()


class IntactQueue(InMemory, DispatcherContract):
    """The queue as it is; what is broken says in `queue_class` how."""

    queue_class = Queue

    def make_dispatcher(self):
        return self.make()


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
class StopsAfterARollback(StuckAfterARollback, Queue):
    pass


@queue(
    "a_failure_to_send_is_logged_and_does_not_reach_who_has_committed",
)
class RaisesAfterTheCommit(RaisesWhenDown, Queue):
    pass


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
