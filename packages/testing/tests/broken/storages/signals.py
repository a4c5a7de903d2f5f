"""Signals that are stored other than they were posted, or given in another order."""

from dataclasses import replace

from automation.workflows.engine.memory.mailbox import MemoryMailbox
from tests.broken.storages.intact import mailbox
from tests.broken.storages.parts import sorted_json


class Kept(MemoryMailbox):
    """Stores what `kept` makes of a signal."""

    def kept(self, signal):
        return signal

    def post(self, signals):
        super().post([self.kept(signal) for signal in signals])


@mailbox(
    "a_signal_comes_back_equal",
)
class ForgetsWhatSignalsAreAbout(Kept):
    def kept(self, signal):
        return replace(signal, subjects=signal.subjects[:1])


@mailbox(
    "a_bare_signal_comes_back_equal",
    "a_position_goes_with_the_transaction_that_allotted_it",
    "undelivered_signals_come_in_the_order_of_sending",
    "what_a_transaction_wrote_is_there_afterwards",
)
class GivesBareSignalsAPayload(MemoryMailbox):
    def post(self, signals):
        is_bare = len(signals) == 1 and signals[0].key is None and signals[0].payload is None
        super().post([replace(signals[0], payload={})] if is_bare else signals)


@mailbox(
    "a_payload_comes_back_equal_and_of_the_same_type",
)
class SortsPayloads(Kept):
    def kept(self, signal):
        return replace(signal, payload=sorted_json(signal.payload))


@mailbox(
    "a_payload_comes_back_equal_and_of_the_same_type",
)
class SortsPayloadsInside(Kept):
    def kept(self, signal):
        value = (signal.payload or {}).get("value")
        return signal if value is None else replace(signal, payload={"value": sorted_json(value)})


@mailbox(
    "a_key_comes_back_equal",
)
class CutsKeys(Kept):
    def kept(self, signal):
        return replace(signal, key=signal.key and signal.key.split("\x00")[0])


@mailbox(
    "an_empty_payload_is_not_the_same_as_none",
)
class TakesAnEmptyPayloadForNone(Kept):
    def kept(self, signal):
        return replace(signal, payload=signal.payload or None)


@mailbox(
    "a_signal_posted_twice_is_stored_once",
    "a_thousand_signals_are_posted_at_once_in_order",
    "an_empty_payload_is_not_the_same_as_none",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
    "undelivered_gives_no_more_than_the_limit_and_the_first_of_them",
    "undelivered_signals_come_in_the_order_of_sending",
    "undelivered_signals_of_one_name_come_in_the_order_of_sending",
)
class LastInFirstOut(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        return super().undelivered(1_000_000, name=name)[::-1][:limit]


@mailbox(
    "undelivered_signals_come_in_the_order_of_sending",
)
class OrdersByName(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        return sorted(super().undelivered(1_000_000, name=name), key=lambda signal: signal.name)[:limit]


@mailbox(
    "undelivered_signals_of_one_name_come_in_the_order_of_sending",
)
class FoldsSignalNames(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        found = super().undelivered(1_000_000)
        return [signal for signal in found if name is None or signal.name.strip().lower() == name][:limit]


@mailbox(
    "undelivered_gives_no_more_than_the_limit_and_the_first_of_them",
)
class GivesAllSignals(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        return super().undelivered(1_000_000, name=name)


@mailbox(
    "a_thousand_signals_are_posted_at_once_in_order",
)
class PostsFewAtOnce(MemoryMailbox):
    def post(self, signals):
        super().post(signals[:500])


@mailbox(
    "post_of_nothing_is_nothing",
)
class CannotPostNothing(MemoryMailbox):
    def post(self, signals):
        assert signals[0]
        super().post(signals)


@mailbox(
    "a_signal_posted_twice_is_stored_once",
)
class PostsAgainAfterTheDelivery(MemoryMailbox):
    def post(self, signals):
        super().post(signals)
        with self._transaction() as open_:
            for signal in signals:
                if signal.id in open_.tables.signals:
                    open_.tables.undelivered.setdefault(signal.id)
