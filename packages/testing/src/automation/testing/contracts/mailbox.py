"""Claims about the mailbox: order of sending, the lock on a name, positions in the order of commits."""

# ruff: noqa: PT012 (a transaction that raises is itself the block under test)

from datetime import datetime, timedelta
from threading import Event

import pytest

from automation.testing.contracts.builders import NOW, a_run, a_signal, an_id
from automation.testing.contracts.rows import HOSTILE_TEXTS, JSON_VALUES
from automation.testing.contracts.side_by_side import reached
from automation.testing.contracts.subject import StorageSubject
from automation.workflows.ports import Storage
from automation.workflows.runs.values import EntityRef, Signal, StandingWait, WorkflowStatus

__all__ = ["MailboxClaims"]

_A_LOOK_SECONDS = 0.2
_LONG_AFTER = NOW + timedelta(days=10_000)
"""When whatever is not kept for a reason is gone."""


class MailboxClaims(StorageSubject):
    """The guarantees of the Mailbox port: sending, locking, settling, and what is kept."""

    def test_a_signal_comes_back_equal(self, storage: Storage) -> None:
        signal = a_signal(
            name="event:paid",
            payload={"z": 1, "a": [1.0, None]},
            key="order 7",
            run_id=an_id(),
            subjects=(EntityRef(type="shop.parcel", id="7"), EntityRef(type="shop.order", id="x y")),
        )

        self.post(storage, signal)

        assert list(storage.mailbox.undelivered(10)) == [signal]

    def test_a_bare_signal_comes_back_equal(self, storage: Storage) -> None:
        signal = a_signal()

        self.post(storage, signal)

        assert list(storage.mailbox.undelivered(10)) == [signal]

    @pytest.mark.parametrize("kind", JSON_VALUES)
    def test_a_payload_comes_back_equal_and_of_the_same_type(self, storage: Storage, kind: str) -> None:
        self.post(storage, a_signal(payload={"value": JSON_VALUES[kind]}))

        (stored,) = storage.mailbox.undelivered(10)
        assert repr(stored.payload) == repr({"value": JSON_VALUES[kind]})

    @pytest.mark.parametrize("kind", HOSTILE_TEXTS)
    def test_a_key_comes_back_equal(self, storage: Storage, kind: str) -> None:
        signal = a_signal(key=HOSTILE_TEXTS[kind])

        self.post(storage, signal)

        assert list(storage.mailbox.undelivered(10)) == [signal]

    def test_an_empty_payload_is_not_the_same_as_none(self, storage: Storage) -> None:
        self.post(storage, a_signal(payload={}), a_signal(payload=None))

        assert [signal.payload for signal in storage.mailbox.undelivered(10)] == [{}, None]

    # The order of sending: guarantee 1

    def test_undelivered_signals_come_in_the_order_of_sending(self, storage: Storage) -> None:
        """Within one post and over several; neither ids nor times decide."""
        signals = [a_signal(name=name) for name in ("c", "a", "b", "a", "c")]

        self.post(storage, *signals[:2])
        self.post(storage, *signals[2:4])
        self.post(storage, signals[4])

        assert list(storage.mailbox.undelivered(10)) == signals

    def test_undelivered_signals_of_one_name_come_in_the_order_of_sending(self, storage: Storage) -> None:
        signals = [a_signal(name=name) for name in ("c", "a", "b", "a", "A", "a ")]
        self.post(storage, *signals)

        assert list(storage.mailbox.undelivered(10, name="a")) == [signals[1], signals[3]]

    def test_undelivered_gives_no_more_than_the_limit_and_the_first_of_them(self, storage: Storage) -> None:
        signals = [a_signal() for _ in range(5)]
        self.post(storage, *signals)

        assert list(storage.mailbox.undelivered(2)) == signals[:2]
        assert list(storage.mailbox.undelivered(2, name="paid")) == signals[:2]

    def test_a_thousand_signals_are_posted_at_once_in_order(self, storage: Storage) -> None:
        signals = [a_signal(key=str(number)) for number in range(1_000)]

        self.post(storage, *signals)

        assert list(storage.mailbox.undelivered(2_000)) == signals

    def test_post_of_nothing_is_nothing(self, storage: Storage) -> None:
        self.post(storage)

        assert list(storage.mailbox.undelivered(10)) == []

    def test_a_signal_posted_twice_is_stored_once(self, storage: Storage) -> None:
        """Guarantee 5: an occurrence may be announced again, before and after its delivery."""
        signal, other = a_signal(key="k", payload={"n": 1}), a_signal()

        self.post(storage, signal, other)
        self.post(storage, signal)
        assert list(storage.mailbox.undelivered(10)) == [signal, other]

        self.settled(storage, signal)
        self.post(storage, signal, other)
        assert list(storage.mailbox.undelivered(10)) == [other]

    # The lock: guarantee 2

    def test_a_name_cannot_be_locked_outside_of_a_transaction(self, storage: Storage) -> None:
        with pytest.raises(Exception, match="transaction"):
            storage.mailbox.lock("paid")

    def test_a_name_is_locked_twice_in_one_transaction_without_harm(self, storage: Storage) -> None:
        with storage.transaction():
            storage.mailbox.lock("paid")
            storage.mailbox.lock("paid")

        with storage.transaction():
            storage.mailbox.lock("paid")

    def test_who_locks_a_name_second_waits_and_sees_what_the_first_committed(self, storage: Storage) -> None:
        signal, locked, may_end = a_signal(), Event(), Event()
        self.post(storage, signal)

        def deliver() -> Signal:
            with storage.transaction():
                storage.mailbox.lock(signal.name)
                locked.set()
                reached(may_end)
                return storage.mailbox.settle([signal], finished=True)[0]

        def look() -> list[Signal]:
            with storage.transaction():
                storage.mailbox.lock(signal.name)
                return list(storage.mailbox.undelivered(10))

        first = self.beside(deliver)
        reached(locked)
        second = self.beside(look)

        assert not second.is_done_within(_A_LOOK_SECONDS)
        may_end.set()
        first.result()
        assert second.result() == []

    def test_a_new_name_is_locked_by_one_at_a_time(self, storage: Storage) -> None:
        """Also when the name was never locked before, and the first to lock it gives up."""
        locked, may_end = Event(), Event()

        def lock_and_give_up() -> None:
            with pytest.raises(ZeroDivisionError), storage.transaction():
                storage.mailbox.lock("never seen")
                locked.set()
                reached(may_end)
                raise ZeroDivisionError

        def lock() -> int:
            with storage.transaction():
                storage.mailbox.lock("never seen")
                return storage.mailbox.position()

        first = self.beside(lock_and_give_up)
        reached(locked)
        others = [self.beside(lock) for _ in range(3)]

        assert not others[0].is_done_within(_A_LOOK_SECONDS)
        may_end.set()
        first.result()
        assert [other.result() for other in others] == [0, 0, 0]

    # Positions: guarantee 3

    def test_the_position_is_nought_before_any_delivery(self, storage: Storage) -> None:
        self.post(storage, a_signal())

        assert storage.mailbox.position() == 0

    def test_settling_allots_a_position_and_ends_the_delivery(self, storage: Storage) -> None:
        signal = a_signal(payload={"n": 1}, key="k")

        settled = self.delivered(storage, signal)

        assert settled.position is not None
        assert settled == _at(signal, settled.position)
        assert storage.mailbox.position() == settled.position
        assert list(storage.mailbox.undelivered(10)) == []

    def test_positions_grow_over_all_names(self, storage: Storage) -> None:
        signals = [a_signal(name=name) for name in ("c", "a", "b", "a")]

        positions = [self.delivered(storage, signal).position or 0 for signal in signals]

        assert positions == sorted(set(positions))
        assert storage.mailbox.position() == positions[-1]

    def test_an_unfinished_delivery_keeps_its_position_and_its_place(self, storage: Storage) -> None:
        signal, other = a_signal(), a_signal()
        self.post(storage, signal, other)

        begun = self.settled(storage, signal, finished=False)
        (first, _) = storage.mailbox.undelivered(10)

        assert first == begun
        assert self.settled(storage, first, finished=False).position == begun.position
        assert self.settled(storage, first).position == begun.position
        assert list(storage.mailbox.undelivered(10)) == [other]

    def test_a_position_is_not_allotted_again_to_who_read_the_signal_before(self, storage: Storage) -> None:
        """Two deliverers read it undelivered; the second gets the lock later and holds an old copy."""
        signal = a_signal()
        settled = self.delivered(storage, signal)

        assert self.settled(storage, signal) == settled
        assert storage.mailbox.position() == settled.position

    def test_signals_that_are_settled_together_get_their_positions_in_the_order_given(self, storage: Storage) -> None:
        """Whatever the order of sending; who has a position keeps it, and who is not given gets none."""
        first, second, third, other = (a_signal() for _ in range(4))
        self.post(storage, first, second, third, other)
        placed = self.settled(storage, second, finished=False)

        with storage.transaction():
            storage.mailbox.lock(first.name)
            settled = storage.mailbox.settle([third, second, first], finished=True)

        start = placed.position
        assert start is not None
        assert [(each.id, each.position) for each in settled] == [
            (third.id, start + 1),
            (second.id, start),
            (first.id, start + 2),
        ]
        assert storage.mailbox.position() == start + 2
        assert list(storage.mailbox.undelivered(10)) == [other]

    def test_a_finished_delivery_is_not_reopened_by_who_read_the_signal_before(self, storage: Storage) -> None:
        signal = a_signal()
        self.delivered(storage, signal)

        self.settled(storage, signal, finished=False)

        assert list(storage.mailbox.undelivered(10)) == []

    def test_a_position_goes_with_the_transaction_that_allotted_it(self, storage: Storage) -> None:
        signal = a_signal()
        self.post(storage, signal)

        with pytest.raises(ZeroDivisionError), storage.transaction():
            storage.mailbox.lock(signal.name)
            storage.mailbox.settle([signal], finished=True)
            raise ZeroDivisionError

        assert storage.mailbox.position() == 0
        assert list(storage.mailbox.undelivered(10)) == [signal]

    def test_positions_are_in_the_order_of_commits(self, storage: Storage) -> None:
        """Of two who settle different names, the one who commits first has the smaller position."""
        first, second = a_signal(name="one"), a_signal(name="two")
        self.post(storage, first, second)
        allotted, may_end = Event(), Event()

        def settle_slowly() -> Signal:
            with storage.transaction():
                (settled,) = storage.mailbox.settle([first], finished=True)
                allotted.set()
                reached(may_end)
                return settled

        slow = self.beside(settle_slowly)
        reached(allotted)
        quick = self.beside(lambda: self.settled(storage, second))

        overtaken = quick.is_done_within(_A_LOOK_SECONDS)
        may_end.set()

        in_order = [slow.result(), quick.result()]
        earlier, later = reversed(in_order) if overtaken else in_order
        assert (earlier.position or 0) < (later.position or 0)

    # Retention: guarantee 4

    @pytest.mark.parametrize("is_begun", [False, True])
    def test_what_is_undelivered_is_kept(self, storage: Storage, *, is_begun: bool) -> None:
        signal = a_signal()
        self.post(storage, signal)
        if is_begun:
            signal = self.settled(storage, signal, finished=False)

        self.tidy(storage, _LONG_AFTER)

        assert list(storage.mailbox.undelivered(10)) == [signal]

    @pytest.mark.parametrize("status", [status for status in WorkflowStatus if not status.is_terminal])
    def test_what_is_addressed_to_a_run_that_lives_is_kept(self, storage: Storage, status: WorkflowStatus) -> None:
        run = self.put(storage, a_run(status=status))
        signal = self.delivered(storage, a_signal(run_id=run.id))

        self.tidy(storage, _LONG_AFTER)

        assert list(storage.mailbox.matching(run.id, StandingWait(signal=signal.name))) == [signal]

    def tidy(self, storage: Storage, now: datetime) -> None:
        """Clean up, and see that it has an effect: what deletes nothing proves nothing by what it keeps."""
        told_to_all = self.delivered(storage, a_signal(name="told to all"))
        if not self.clean_up(storage, now):
            pytest.skip("This storage keeps everything: clean_up() gives False.")
        left = storage.mailbox.matching(an_id(), StandingWait(signal=told_to_all.name))
        assert not left, "clean_up() left a signal that was delivered to all long ago."


def _at(signal: Signal, position: int) -> Signal:
    return Signal(
        id=signal.id,
        name=signal.name,
        payload=signal.payload,
        key=signal.key,
        run_id=signal.run_id,
        subjects=signal.subjects,
        sent_at=signal.sent_at,
        position=position,
    )
