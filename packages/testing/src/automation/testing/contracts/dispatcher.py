"""The contract of the Dispatcher port: a queue that brings event work to workers, as far as events rely on it.

Guarantee 4 of the port is a liberty of the adapter (a message may be lost, doubled, late or reordered), so that nothing
is claimed of it.
"""

# ruff: noqa: PT012 (a transaction that raises is itself the block under test)

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from automation.testing.contracts.builders import an_id
from automation.testing.contracts.transport import Transport, leaves

if TYPE_CHECKING:
    # Who tests a storage or an executor of workflows need not have events installed.
    from automation.events.ports import Dispatcher

__all__ = ["DispatcherContract", "RecordingProcessor"]


class RecordingProcessor:
    """The Processor that the messages under test call; it only takes notes."""

    def __init__(self) -> None:
        self.asked: list[tuple[UUID, str]] = []
        """The deliveries it was asked to make, each with the database."""
        self.looks = 0
        """How often it was asked to look at what is due."""

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> int:
        """Note the deliveries."""
        self.asked += [(delivery_id, using) for delivery_id in delivery_ids]
        return len(delivery_ids)

    def process_due_events(
        self, lookback_hours: int = 24, *, stop: Callable[[], bool] = lambda: False
    ) -> Mapping[str, Any]:
        """Note the look."""
        self.looks += 1
        return {}


class DispatcherContract(Transport):
    """Subclass it, give `make_dispatcher()` and the hooks of Transport; each test gets one of its own, empty."""

    using = "default"
    """The alias of the database that `transaction()` is on."""

    def make_dispatcher(self) -> "Dispatcher":
        """Return a dispatcher with nothing queued. Called once for each test."""
        raise NotImplementedError(f"{type(self).__name__} has no make_dispatcher(). Give the dispatcher to be tested.")

    @pytest.fixture
    def processor(self) -> Iterator[RecordingProcessor]:
        """Who is called when a message arrives."""
        wiring = import_module("automation.events.ports").wiring
        before, wiring.processor = wiring.processor, RecordingProcessor()
        try:
            yield wiring.processor
        finally:
            wiring.processor = before

    @pytest.fixture
    def dispatcher(self, processor: RecordingProcessor) -> "Dispatcher":
        """The dispatcher under test."""
        return self.make_dispatcher()

    # Deliveries

    def test_a_delivery_is_made_on_its_database(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        delivery_id = an_id()

        dispatcher.deliver([delivery_id], using=self.using)
        self.work_off(dispatcher)

        assert processor.asked == [(delivery_id, self.using)]

    def test_every_delivery_is_made(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        """In whatever order, and perhaps twice: events do not mind."""
        delivery_ids = [an_id() for _ in range(25)]

        dispatcher.deliver(delivery_ids[:20], using=self.using)
        dispatcher.deliver(delivery_ids[20:], using=self.using)
        self.work_off(dispatcher)

        assert {delivery_id for delivery_id, _ in processor.asked} == set(delivery_ids)

    def test_the_same_delivery_may_be_handed_over_again(
        self, dispatcher: "Dispatcher", processor: RecordingProcessor
    ) -> None:
        delivery_id = an_id()

        for _ in range(2):
            dispatcher.deliver([delivery_id], using=self.using)
            self.work_off(dispatcher)

        assert Counter(processor.asked)[delivery_id, self.using] >= 2

    def test_no_deliveries_are_nothing(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        dispatcher.deliver([], using=self.using)
        self.work_off(dispatcher)

        assert (processor.asked, processor.looks) == ([], 0)

    # With the commit: guarantee 1

    def test_no_worker_acts_before_the_transaction_commits(
        self, dispatcher: "Dispatcher", processor: RecordingProcessor
    ) -> None:
        delivery_id = an_id()

        with self.transaction():
            dispatcher.deliver([delivery_id], using=self.using)
            dispatcher.hint(self.now(), using=self.using)
            self.work_off_meanwhile(dispatcher)
            assert (processor.asked, processor.looks) == ([], 0)
        self.work_off(dispatcher)

        assert processor.asked == [(delivery_id, self.using)]
        assert processor.looks >= 1

    def test_a_rollback_raises_nothing_and_leaves_the_dispatcher_working(
        self, dispatcher: "Dispatcher", processor: RecordingProcessor
    ) -> None:
        """At most a harmless hint is left."""
        undone, delivery_id = an_id(), an_id()

        with pytest.raises(ZeroDivisionError), self.transaction():
            dispatcher.deliver([undone], using=self.using)
            dispatcher.hint(self.now(), using=self.using)
            raise ZeroDivisionError
        dispatcher.deliver([delivery_id], using=self.using)
        self.work_off(dispatcher)

        handed_over = {asked for asked, _ in processor.asked}
        assert delivery_id in handed_over
        assert handed_over <= {undone, delivery_id}

    # Failures: guarantee 2

    @pytest.mark.parametrize("verb", ["deliver", "hint"])
    def test_a_failure_to_send_is_logged_and_does_not_reach_who_has_committed(
        self, dispatcher: "Dispatcher", processor: RecordingProcessor, caplog: pytest.LogCaptureFixture, verb: str
    ) -> None:
        """What is owed is stored, and a poll will find it."""
        delivery_id, was_raised = an_id(), False

        with self.broken_transport(dispatcher), self.transaction():
            try:
                if verb == "deliver":
                    dispatcher.deliver([an_id()], using=self.using)
                else:
                    dispatcher.hint(self.now(), using=self.using)
            except Exception:  # noqa: BLE001 (a broken transport may raise what it will)
                # Before the commit it may raise: events catch and log whatever comes.
                was_raised = True
        dispatcher.deliver([delivery_id], using=self.using)
        self.work_off(dispatcher)

        assert was_raised or caplog.records, "Nobody learns of the failure: nothing was raised, and nothing logged."
        assert (delivery_id, self.using) in processor.asked

    # Contents: guarantee 3

    def test_a_message_carries_ids_times_and_the_alias_only(self, dispatcher: "Dispatcher") -> None:
        """So that it can be read by any release and reveals nothing."""
        dispatcher.deliver([an_id(), an_id()], using=self.using)
        dispatcher.hint(self.now() + min(timedelta(seconds=5), dispatcher.horizon), using=self.using)

        messages = list(self.messages(dispatcher))
        assert messages, "messages() showed nothing of what was just handed over."
        others = [leaf for message in messages for leaf in leaves(message) if not self._may_be_sent(leaf)]
        assert others == []

    # Times

    def test_a_hint_lets_due_events_be_looked_at(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        dispatcher.hint(self.now(), using=self.using)
        self.work_off(dispatcher)

        assert (processor.asked, processor.looks) == ([], 1)

    def test_a_hint_is_never_early(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        """Held back, or dropped and left to the poll."""
        dispatcher.hint(self.now() + timedelta(seconds=90), using=self.using)
        dispatcher.hint(self.now() + timedelta(days=400), using=self.using)
        self.work_off(dispatcher)
        # A real clock goes on by itself while a busy machine gets from one line to the next.
        self.pass_time(dispatcher, timedelta(seconds=60))
        self.work_off(dispatcher)

        assert processor.looks == 0

    def test_a_hint_within_the_horizon_arrives_at_its_time(
        self, dispatcher: "Dispatcher", processor: RecordingProcessor
    ) -> None:
        """A dispatcher that knows no timers has a horizon of nought: what is due now arrives now."""
        ahead = min(timedelta(seconds=5), dispatcher.horizon)

        dispatcher.hint(self.now() + ahead, using=self.using)
        self.pass_time(dispatcher, ahead + timedelta(seconds=1))
        self.work_off(dispatcher)

        assert processor.looks == 1

    def test_a_time_that_has_passed_means_now(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        dispatcher.hint(self.now() - timedelta(days=1), using=self.using)
        self.work_off(dispatcher)

        assert processor.looks == 1

    def test_the_horizon_is_a_length_of_time(self, dispatcher: "Dispatcher") -> None:
        assert dispatcher.horizon >= timedelta(0)

    # Gathering, which is optional

    def test_what_is_sent_together_arrives_after_the_block(
        self, dispatcher: "Dispatcher", processor: RecordingProcessor
    ) -> None:
        delivery_ids = [an_id() for _ in range(3)]

        with self.transaction(), self._together(dispatcher):
            for delivery_id in delivery_ids:
                dispatcher.deliver([delivery_id], using=self.using)
        self.work_off(dispatcher)

        assert {delivery_id for delivery_id, _ in processor.asked} == set(delivery_ids)

    def test_a_block_that_raises_sends_nothing(self, dispatcher: "Dispatcher", processor: RecordingProcessor) -> None:
        with self.transaction(), pytest.raises(ZeroDivisionError), self._together(dispatcher):
            dispatcher.deliver([an_id()], using=self.using)
            raise ZeroDivisionError
        self.work_off(dispatcher)

        assert processor.asked == []

    def _together(self, dispatcher: "Dispatcher") -> Any:
        if not isinstance(dispatcher, import_module("automation.events.ports").Gathering):
            pytest.skip("This dispatcher sends each message by itself: it has no together().")
        return dispatcher.together()

    def _may_be_sent(self, leaf: Any) -> bool:
        return isinstance(leaf, UUID | datetime) or (isinstance(leaf, str) and (leaf == self.using or _is_known(leaf)))


def _is_known(text: str) -> bool:
    """Return whether a text is that of an id or a time."""
    return any(_is_read_by(reader, text) for reader in (UUID, datetime.fromisoformat))


def _is_read_by(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True
