"""Claims about waits and signals that find each other, whichever came first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from automation.testing.contracts.builders import NOW, a_signal, a_waiting_run, an_id, moved
from automation.testing.contracts.subject import StorageSubject
from automation.workflows.ports import Storage
from automation.workflows.runs.matching import matches
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import EntityRef, Run, Signal, StandingWait, WorkflowStatus

__all__ = ["WaitClaims"]

PARCEL_7 = EntityRef(type="shop.parcel", id="7")
PARCEL_8 = EntityRef(type="shop.parcel", id="8")
ORDER_7 = EntityRef(type="shop.order", id="7")
ABOVE = EntityRef(type="zoo.parcel", id="7")
BELOW = EntityRef(type="a.parcel", id="7")

WAITS = {
    "anything": StandingWait(signal="paid"),
    "key": StandingWait(signal="paid", key="key:order 7"),
    "key_in_other_case": StandingWait(signal="paid", key="key:Order 7"),
    "key_with_blank": StandingWait(signal="paid", key="key:order 7 "),
    "empty_key": StandingWait(signal="paid", key="key:"),
    "entity_by_name": StandingWait(signal="paid", key="entity:shop.parcel:7"),
    "own_entity": StandingWait(signal="paid", key="entity:shop.parcel:7", entity_type="shop.parcel"),
    "own_entity_of_another_model": StandingWait(signal="paid", key="entity:zoo.parcel:7", entity_type="zoo.parcel"),
    "other_signal": StandingWait(signal="sent"),
    "signal_in_other_case": StandingWait(signal="Paid"),
    "accepting": StandingWait(signal="paid", accept=("amount", "by")),
    "accepting_nothing": StandingWait(signal="paid", accept=()),
    "plain_sleep": StandingWait(signal=""),
}

SIGNALS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": "order 7"},
    "keyed_otherwise": {"key": "order 8"},
    "keyed_empty": {"key": ""},
    "keyed_like_an_entity": {"key": "entity:shop.parcel:7"},
    "about_the_entity": {"subjects": (PARCEL_7,)},
    "about_another_entity": {"subjects": (PARCEL_8,)},
    "about_another_model": {"subjects": (ORDER_7,)},
    "about_a_model_above": {"subjects": (ABOVE,)},
    "about_a_model_below": {"subjects": (BELOW,)},
    "about_several": {"subjects": (ORDER_7, PARCEL_7)},
    "about_several_others": {"subjects": (ORDER_7, PARCEL_8, ABOVE)},
    "keyed_and_about": {"key": "order 7", "subjects": (PARCEL_8,)},
    "other_name": {"name": "sent"},
}


class WaitClaims(StorageSubject):
    """What `matching` and `waiters` promise."""

    @pytest.mark.parametrize("wait", WAITS)
    def test_both_sides_agree_with_the_rule_for_waits(self, storage: Storage, wait: str) -> None:
        """`runs.matching.matches` is the rule; a storage only finds candidates faster."""
        run = self.put(storage, a_waiting_run(WAITS[wait]))

        for name, fields in SIGNALS.items():
            sent = self.delivered(storage, a_signal(**fields))
            self.agrees_with_the_rule(storage, run, sent, name)
            run = self.passed(storage, run, sent)

    @pytest.mark.parametrize("wait", WAITS)
    def test_a_signal_for_one_run_ends_no_wait_of_another(self, storage: Storage, wait: str) -> None:
        run = self.put(storage, a_waiting_run(WAITS[wait]))
        mine = self.delivered(storage, a_signal(run_id=run.id))
        self.delivered(storage, a_signal(run_id=an_id()))
        others = self.put(storage, a_waiting_run(WAITS[wait]))

        assert run.wait is not None
        expected = matches(mine, run.wait)

        assert self.waiters_of(storage, mine) == ([run.id] if expected else [])
        assert self.matching(storage, run) == (mine if expected else None)
        assert self.matching(storage, others) is None

    @pytest.mark.parametrize("wait", ["anything", "key", "own_entity", "entity_by_name"])
    @pytest.mark.parametrize("signal", ["plain", "keyed", "about_the_entity", "about_another_model", "addressed"])
    def test_both_sides_agree_with_the_guards_of_a_wait(self, storage: Storage, wait: str, signal: str) -> None:
        """A signal at or below the guard, or sent before the bound, is not for this wait."""
        run_id = an_id()
        self.delivered(storage, a_signal(name="other"))
        fields: dict[str, Any] = {"run_id": run_id} if signal == "addressed" else SIGNALS[signal]
        sent = self.delivered(storage, a_signal(**fields))
        run = self.put(storage, a_waiting_run(WAITS[wait], id=run_id))

        for guards in _guards_around(sent):
            run = self.stands_in(storage, run, replace(WAITS[wait], **guards))
            self.agrees_with_the_rule(storage, run, sent, str(guards))

    # A wait that comes after the signal

    def test_a_wait_sees_no_signal_that_is_not_delivered(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(StandingWait(signal="paid")))
        self.post(storage, a_signal())

        assert self.matching(storage, run) is None

    def test_a_wait_sees_a_signal_whose_delivery_has_begun(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(StandingWait(signal="paid")))
        signal = a_signal()
        self.post(storage, signal)
        begun = self.settled(storage, signal, finished=False)

        assert self.matching(storage, run) == begun

    def test_a_wait_gets_the_first_by_position_not_by_sending(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(StandingWait(signal="paid")))
        first, second = a_signal(), a_signal()
        self.post(storage, first, second)
        earlier = self.settled(storage, second)
        self.settled(storage, first)

        assert self.matching(storage, run) == earlier

    def test_a_wait_gets_addressed_signals_and_broadcasts_in_one_order(self, storage: Storage) -> None:
        wait = StandingWait(signal="paid")
        run = self.put(storage, a_waiting_run(wait))
        fields: list[dict[str, Any]] = [{}, {"run_id": run.id}, {"key": "order 7"}, {"run_id": run.id}, {}]
        sent = [self.delivered(storage, a_signal(**given)) for given in fields]

        assert self.consume_all(storage, run) == sent

    def test_a_wait_finds_its_signal_behind_many_that_are_not_for_it(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(WAITS["own_entity"]))
        self.deliver_all(storage, [a_signal(subjects=(PARCEL_8,)) for _ in range(250)])
        mine = self.delivered(storage, a_signal(subjects=(PARCEL_7,)))
        self.deliver_all(storage, [a_signal(subjects=(PARCEL_8,)) for _ in range(10)])

        assert self.matching(storage, run) == mine

    def test_a_wait_does_not_get_a_signal_that_the_run_has_consumed(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(StandingWait(signal="paid")))
        other = self.put(storage, a_waiting_run(StandingWait(signal="paid")))
        signal = self.delivered(storage, a_signal())

        self.consume(storage, run, signal)

        assert self.matching(storage, self.stored(storage, run.id)) is None
        assert self.waiters_of(storage, signal) == [other.id]
        assert self.matching(storage, other) == signal

    @pytest.mark.parametrize("limit", [None, 1, 200, 1000])
    def test_a_wait_gets_all_that_end_it_at_once_in_order(self, storage: Storage, limit: int | None) -> None:
        """As a parent reads what its children told it, unheard by whoever else waits for the same name."""
        run = self.put(storage, a_waiting_run(StandingWait(signal="paid", broadcasts_after=2**63 - 1)))
        mine = [a_signal(run_id=run.id, payload={"n": n}) for n in range(600)]
        others = [a_signal(run_id=an_id()), a_signal(), a_signal(name="sent", run_id=run.id)]
        self.deliver_all(storage, [*mine[:300], *others, *mine[300:]])
        self.consume(storage, run, mine[0])
        run = self.stored(storage, run.id)

        assert run.wait is not None
        found = storage.mailbox.matching(run.id, run.wait, limit=limit)

        assert [signal.payload for signal in found] == [signal.payload for signal in mine[1:]][:limit]

    # A signal that comes after the wait

    @pytest.mark.parametrize("status", [status for status in WorkflowStatus if status is not WorkflowStatus.WAITING])
    def test_only_waiting_runs_are_waiters(self, storage: Storage, status: WorkflowStatus) -> None:
        self.put(storage, a_waiting_run(StandingWait(signal="paid"), status=status))
        signal = self.delivered(storage, a_signal())

        assert self.waiters_of(storage, signal) == []

    def test_waiters_are_given_in_batches_until_none_is_left(self, storage: Storage) -> None:
        with storage.transaction():
            runs = storage.insert([a_waiting_run(StandingWait(signal="paid")) for _ in range(25)])
        signal = self.delivered(storage, a_signal())
        woken = []

        while batch := self.waiters_of(storage, signal, limit=10):
            assert len(batch) <= 10
            woken.append(len(batch))
            with storage.transaction():
                storage.apply([_woken(self.stored(storage, run_id), signal) for run_id in batch])

        assert woken == [10, 10, 5]
        assert {self.stored(storage, run.id).status for run in runs} == {WorkflowStatus.READY}

    def test_fewer_waiters_than_the_limit_means_that_there_are_no_more(self, storage: Storage) -> None:
        """Also when many candidates, found by name alone, are not waiting for this signal."""
        late = StandingWait(signal="paid", broadcasts_after=1_000)
        with storage.transaction():
            storage.insert([a_waiting_run(late) for _ in range(30)])
            last = storage.insert([a_waiting_run(StandingWait(signal="paid")) for _ in range(3)])
            storage.insert([a_waiting_run(late) for _ in range(30)])
        signal = self.delivered(storage, a_signal())

        assert sorted(self.waiters_of(storage, signal, limit=5)) == sorted(run.id for run in last)
        assert len(self.waiters_of(storage, signal, limit=2)) == 2

    def test_waiters_are_given_whole(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(WAITS["own_entity"], data={"n": 1.0}, entity=PARCEL_7))
        signal = self.delivered(storage, a_signal(subjects=(PARCEL_7,)))

        with storage.transaction():
            assert list(storage.mailbox.waiters(signal, 10)) == [run]

    def test_a_run_that_moves_on_is_no_longer_found_by_its_old_wait(self, storage: Storage) -> None:
        run = self.put(storage, a_waiting_run(StandingWait(signal="paid")))
        with storage.transaction():
            storage.apply([moved(run, wait=StandingWait(signal="sent", key="key:k"))])
        paid, sent = self.delivered(storage, a_signal()), self.delivered(storage, a_signal("sent", key="k"))

        assert self.waiters_of(storage, paid) == []
        assert self.waiters_of(storage, sent) == [run.id]

    def test_two_who_wake_side_by_side_wake_each_run_once(self, storage: Storage) -> None:
        with storage.transaction():
            runs = storage.insert([a_waiting_run(StandingWait(signal="paid")) for _ in range(20)])
        signal = self.delivered(storage, a_signal())

        def wake_all() -> list[UUID]:
            woken: list[UUID] = []
            while batch := self.wake(storage, signal, limit=3):
                woken += batch
            return woken

        threads = [self.beside(wake_all), self.beside(wake_all)]

        woken = [run_id for thread in threads for run_id in thread.result()]
        assert sorted(woken) == sorted(run.id for run in runs)

    def agrees_with_the_rule(self, storage: Storage, run: Run, sent: Signal, case: str) -> None:
        """Compare what the storage finds from both sides with what the rule says."""
        assert run.wait is not None
        expected = matches(sent, run.wait)

        assert self.waiters_of(storage, sent) == ([run.id] if expected else []), case
        assert self.matching(storage, run) == (sent if expected else None), case

    def passed(self, storage: Storage, run: Run, signal: Signal) -> Run:
        """Let a run consume a signal, so that the next one is judged alone."""
        self.consume(storage, run, signal)
        return self.stored(storage, run.id)

    def stands_in(self, storage: Storage, run: Run, wait: StandingWait) -> Run:
        """Put a run into another wait."""
        self.apply(storage, moved(run, wait=wait))
        return self.stored(storage, run.id)

    def waiters_of(self, storage: Storage, signal: Signal, limit: int = 100) -> list[UUID]:
        """Return the ids of the waiters of a signal."""
        with storage.transaction():
            return [run.id for run in storage.mailbox.waiters(signal, limit)]

    def matching(self, storage: Storage, run: Run) -> Signal | None:
        """Return what a run that stands in its wait would be woken by."""
        assert run.wait is not None
        with storage.transaction():
            storage.mailbox.lock(run.wait.signal)
            return next(iter(storage.mailbox.matching(run.id, run.wait, limit=1)), None)

    def consume(self, storage: Storage, run: Run, signal: Signal) -> None:
        """Let a run consume a signal and stand in its wait again."""
        self.apply(storage, moved(run, consumed=signal.id))

    def consume_all(self, storage: Storage, run: Run) -> list[Signal]:
        """Let a run consume what its wait matches until nothing is left."""
        consumed = []
        while signal := self.matching(storage, run):
            self.consume(storage, run, signal)
            consumed.append(signal)
            run = self.stored(storage, run.id)
        return consumed

    def deliver_all(self, storage: Storage, signals: list[Signal]) -> None:
        """Post and settle many signals in one transaction."""
        with storage.transaction():
            storage.mailbox.post(signals)
            storage.mailbox.settle(signals, finished=True)

    def wake(self, storage: Storage, signal: Signal, limit: int) -> list[UUID]:
        """Wake one batch as a deliverer does."""
        with storage.transaction():
            storage.mailbox.lock(signal.name)
            runs = storage.mailbox.waiters(signal, limit)
            storage.apply([_woken(run, signal) for run in runs])
            return [run.id for run in runs]


def _guards_around(signal: Signal) -> Iterator[dict[str, Any]]:
    """Yield guards just below, at and just above the signal, each alone and together."""
    assert signal.position is not None
    for margin in (-1, 0, 1):
        for names in (["broadcasts_after"], ["addressed_after"], ["run_after"]):
            yield dict.fromkeys(names, signal.position + margin)
        yield dict.fromkeys(["broadcasts_after", "addressed_after", "run_after"], signal.position + margin)
        yield {"sent_after": signal.sent_at + timedelta(microseconds=margin)}


def _woken(run: Run, signal: Signal) -> Transition:
    return moved(run, status=WorkflowStatus.READY, wait=None, next_at=NOW, consumed=signal.id)
