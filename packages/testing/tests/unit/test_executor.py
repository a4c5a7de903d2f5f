from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from automation.events.ports import wiring as events
from automation.testing import FakeClock, FakeExecutor, Faults, NeverIdleError, WorkerDied
from automation.workflows.ports import wiring as workflows

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


class Worker:
    """Notes what it was asked for; `then` is done each time."""

    def __init__(self):
        self.calls, self.then = [], lambda: None

    def execute_step(self, run_id, step_name=None):
        self.calls.append(run_id)
        self.then()

    def process_scheduled(self, limit=1000):
        return {}

    def process_due_events(self, lookback_hours=24):
        self.calls.append("due")

    def cleanup_old_events(self, days_old=30):
        return {}

    def deliver(self, delivery_ids, *, using):
        self.calls.append((*delivery_ids, using))


@pytest.fixture
def clock():
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def worker(monkeypatch):
    worker = Worker()
    monkeypatch.setattr(workflows, "worker", worker)
    monkeypatch.setattr(events, "processor", worker)
    return worker


@pytest.fixture
def executor(clock, worker):
    return FakeExecutor()


class TestRunning:
    def test_nothing_runs_before_it_is_asked_to(self, executor, worker):
        executor.enqueue([ONE])

        assert worker.calls == []

    def test_runs_in_the_order_of_sending(self, executor, worker):
        executor.enqueue([TWO, ONE])
        executor.enqueue([THREE])

        assert executor.run_until_idle() == 3
        assert worker.calls == [TWO, ONE, THREE]

    def test_does_what_each_kind_of_message_asks_for(self, executor, worker):
        executor.enqueue([ONE])
        executor.deliver([TWO, THREE], using="default")
        executor.hint(datetime.now(UTC), using="default")

        executor.run_until_idle()

        assert worker.calls == [ONE, (TWO, "default"), (THREE, "default"), "due"]

    def test_one_message_for_one_thing_at_one_moment_is_as_good_as_many(self, executor, worker, clock):
        later = clock.now() + timedelta(minutes=1)
        for _ in range(3):
            executor.hint(clock.now(), using="default")
            executor.enqueue([ONE], run_after=later)

        assert executor.run_until_idle() == 1
        assert len(executor.pending) == 1

    def test_a_message_is_never_early(self, executor, worker, clock):
        executor.enqueue([ONE], run_after=clock.now() + timedelta(seconds=2))

        clock.advance(seconds=1)
        assert executor.run_next() is None
        clock.advance(seconds=1)
        assert executor.run_next().id == ONE

    def test_of_several_that_are_due_the_one_due_first_is_first(self, executor, worker, clock):
        executor.enqueue([ONE], run_after=clock.now() + timedelta(seconds=2))
        executor.enqueue([TWO], run_after=clock.now() + timedelta(seconds=1))
        clock.advance(seconds=9)

        executor.run_until_idle()

        assert worker.calls == [TWO, ONE]

    def test_work_that_makes_more_work_due_now_is_followed_to_its_end(self, executor, worker):
        worker.then = lambda: executor.enqueue([TWO]) if len(worker.calls) < 3 else None
        executor.enqueue([ONE])

        assert executor.run_until_idle() == 3

    def test_work_without_end_is_reported_with_what_is_queued(self, executor, worker):
        worker.then = lambda: executor.enqueue([TWO])
        executor.enqueue([ONE])

        with pytest.raises(NeverIdleError, match=rf"(?s)After 50 messages.*run {TWO}.*now") as caught:
            executor.run_until_idle(limit=50)
        assert issubclass(caught.type, AssertionError)

    def test_one_thing_that_asks_a_thousand_times_is_reported_without_waiting_for_the_limit(self, executor, worker):
        worker.then = lambda: executor.enqueue([ONE])
        executor.enqueue([ONE])

        with pytest.raises(NeverIdleError, match="After 1000 messages"):
            executor.run_until_idle(limit=1_000_000)

    @pytest.mark.parametrize("death", [WorkerDied, SystemExit])
    def test_a_dead_worker_takes_its_message_along_and_the_queue_goes_on(self, executor, worker, death):
        def die():
            worker.then = lambda: None
            raise death

        worker.then = die
        executor.enqueue([ONE, TWO])

        executor.run_until_idle()

        assert worker.calls == [ONE, TWO]
        assert executor.deaths == 1

    def test_an_error_of_the_worker_itself_reaches_the_test(self, executor, worker):
        def fail():
            raise LookupError("a bug")

        worker.then = fail
        executor.enqueue([ONE])

        with pytest.raises(LookupError, match="a bug"):
            executor.run_next()

    def test_history_tells_what_ran(self, executor):
        executor.enqueue([ONE])
        executor.run_until_idle()

        assert [message.id for message in executor.history] == [ONE]
        assert executor.pending == ()


class TestLooking:
    def test_shows_what_is_queued_and_when_it_is_due(self, executor, clock):
        executor.hint(clock.now() + timedelta(minutes=90), using="default")
        executor.enqueue([ONE])

        assert str(executor).splitlines() == [
            f"#2 run {ONE}, due 2030-01-07 09:00:00.000+00:00 (now)",
            "#1 due events, due 2030-01-07 10:30:00.000+00:00 (in 1:30:00)",
        ]

    def test_an_empty_queue_says_so(self, executor):
        assert str(executor) == "nothing queued"
        assert repr(executor) == "FakeExecutor(0 queued)"

    def test_next_due_is_the_first_time_after_the_given_one(self, executor, clock):
        for minutes in (1, 3, 2):
            executor.enqueue([uuid4()], run_after=clock.now() + timedelta(minutes=minutes))

        assert executor.next_due(clock.now() + timedelta(minutes=1)) == clock.now() + timedelta(minutes=2)
        assert executor.next_due(clock.now() + timedelta(minutes=3)) is None

    def test_it_knows_timers_ten_years_ahead(self, executor):
        assert executor.horizon >= timedelta(days=3650)


class TestOnRequest:
    def test_duplicates(self, executor, worker):
        executor.enqueue([ONE])

        assert executor.duplicate() == 1
        executor.run_until_idle()

        assert worker.calls == [ONE, ONE]

    def test_drops_only_what_it_is_given(self, executor, worker):
        executor.enqueue([ONE, TWO])

        assert executor.drop([message for message in executor.pending if message.id == ONE]) == 1
        executor.run_until_idle()

        assert worker.calls == [TWO]

    def test_delays(self, executor, worker, clock):
        executor.enqueue([ONE])

        executor.delay(timedelta(minutes=1))

        assert executor.run_next() is None
        clock.advance(minutes=1)
        assert executor.run_next().id == ONE

    def test_reorders_alike_for_the_same_seed(self, executor, worker, clock):
        ids = [UUID(int=number) for number in range(8)]
        orders = []
        for seed in (1, 1, 2):
            worker.calls.clear()
            executor.enqueue(ids)
            executor.reorder(seed)
            executor.run_until_idle()
            orders.append(list(worker.calls))

        assert orders[0] == orders[1] != orders[2]
        assert sorted(orders[2], key=str) == ids != orders[2]


class TestFaults:
    def order(self, clock, worker, **faults):
        worker.calls.clear()
        executor = FakeExecutor(faults=Faults(**faults))
        executor.enqueue([UUID(int=number) for number in range(100)])
        executor.run_until_idle()
        return [run_id.int for run_id in worker.calls], executor

    def test_none_by_default(self, clock, worker):
        assert self.order(clock, worker)[0] == list(range(100))

    def test_duplicates_some(self, clock, worker):
        calls, _ = self.order(clock, worker, duplicate=0.3)

        assert 100 < len(calls) < 200
        assert set(calls) == set(range(100))

    def test_drops_some(self, clock, worker):
        calls, executor = self.order(clock, worker, drop=0.3)

        assert 0 < len(calls) < 100
        assert executor.pending == ()

    def test_delays_some_but_keeps_them(self, clock, worker):
        calls, executor = self.order(clock, worker, delay=0.3, longest_delay=timedelta(minutes=1))

        assert len(calls) + len(executor.pending) == 100
        assert executor.pending[-1].due_at <= clock.now() + timedelta(minutes=1)

    def test_reorders(self, clock, worker):
        calls, _ = self.order(clock, worker, reorder=True)

        assert calls != sorted(calls) == list(range(100))

    def test_the_same_seed_misbehaves_alike_and_another_does_not(self, clock, worker):
        mixed = {"duplicate": 0.3, "drop": 0.3, "reorder": True}
        first, again, other = (self.order(clock, worker, seed=seed, **mixed)[0] for seed in (7, 7, 8))

        assert first == again != other

    @pytest.mark.parametrize("rate", [-0.1, 1.1])
    def test_a_rate_outside_0_and_1_is_refused(self, rate):
        with pytest.raises(ValueError, match="a rate is a chance between 0 and 1"):
            Faults(drop=rate)

    def test_misbehaving_ends_on_request(self, clock, worker):
        executor = FakeExecutor(faults=Faults(drop=1.0))
        executor.misbehave(None)
        executor.enqueue([ONE])

        assert executor.run_until_idle() == 1


class TestOneOfTwoAlike:
    def test_is_lost_alone(self, executor):
        executor.enqueue([ONE])
        (message,) = executor.pending
        executor.duplicate(message)

        assert executor.drop([message]) == 1
        assert executor.pending == (message,)
        assert executor.drop([message, message]) == 1
        assert executor.pending == ()

    def test_is_late_alone(self, executor):
        executor.enqueue([ONE])
        (message,) = executor.pending
        executor.duplicate()

        assert executor.delay(timedelta(minutes=1), message) == 1
        assert [each.due_at - message.due_at for each in executor.pending] == [timedelta(0), timedelta(minutes=1)]
