"""A FakeClock without a Harness: what is installed is run at each due moment on the way."""

import unittest
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone
from pydantic import BaseModel

from automation.events.callbacks import callback_registry
from automation.events.models import Event, EventDelivery
from automation.events.ports import wiring as events
from automation.testing import FakeClock, FakeExecutor
from automation.testing.stubs import stubbed_step
from automation.workflows.core import complete, engine, sleep, step, workflow
from automation.workflows.memory import MemoryStorage
from automation.workflows.models import WorkflowRun
from automation.workflows.ports import wiring as workflows
from tests.shop.automations import Chase
from tests.shop.models import Entry, Order

START = datetime(2030, 1, 7, 9, tzinfo=UTC)


class SilentQueue:
    """A queue with workers elsewhere: in a test, nobody takes what it is given."""

    horizon = timedelta(days=1)

    def __init__(self):
        self.given = []

    def enqueue(self, run_ids, *, run_after=None):
        self.given += run_ids

    def deliver(self, delivery_ids, *, using):
        self.given += delivery_ids

    def hint(self, at, *, using):
        self.given.append(at)


@pytest.fixture(params=[None, SilentQueue, FakeExecutor], ids=["inline", "queue elsewhere", "fake queue"])
def queue(request, monkeypatch):
    queue = request.param and request.param()
    monkeypatch.setattr(workflows, "executor", queue)
    monkeypatch.setattr(events, "dispatcher", queue)
    return queue


@pytest.fixture
def seen():
    """Yield what happens from now on, with the time that it saw: a call before the event, and one at it."""
    happened = []
    for name, minutes in (("early", -30), ("at", 0)):

        def note(event, name=name):
            happened.append((name, datetime.now(UTC)))

        callback_registry.register(note, "pickup_due", name=f"alone.{name}", offset=timedelta(minutes=minutes))
    yield happened
    for name in ("early", "at"):
        callback_registry.unregister(f"alone.{name}")


@pytest.mark.django_db
class TestWithWhatIsInstalled:
    def test_every_due_moment_is_a_stop_and_all_that_is_due_happens_there(self, queue, seen):
        with FakeClock(START) as clock:
            Order.objects.create(pickup_at=timezone.now() + timedelta(days=2))

            clock.advance(days=3)

            assert seen == [
                ("early", START + timedelta(days=2, minutes=-30)),
                ("at", START + timedelta(days=2)),
            ]
            assert WorkflowRun.objects.get(name="shop.prepare").finished_at == START + timedelta(days=2, hours=-1)
            assert Event.objects.get(event_name="pickup_due").occurred_at == START + timedelta(days=2)
            assert clock.now() == START + timedelta(days=3)

    def test_a_run_started_before_goes_through_each_pause_at_its_time(self, queue):
        with FakeClock(START) as clock:
            run = engine.start(Chase)

            clock.advance(days=365)

            row = WorkflowRun.objects.get(pk=run.id)
            assert (row.status, row.finished_at) == ("completed", START + timedelta(days=30, hours=1, seconds=2))

    def test_what_is_due_already_happens_before_time_moves(self, queue):
        with FakeClock(START) as clock:
            run = engine.start(Chase)

            clock.advance()

            assert WorkflowRun.objects.get(pk=run.id).attempts.get().finished_at == START

    def test_advance_to_and_advance_to_next_stop_as_well(self, queue, seen):
        with FakeClock(START, zone="UTC") as clock:
            Order.objects.create(pickup_at=START + timedelta(hours=1))

            clock.advance_to("2030-01-07T09:30+00:00")
            assert [name for name, _ in seen] == ["early"]
            clock.advance_to_next("10:00")

            assert seen[-1] == ("at", START + timedelta(hours=1))

    def test_the_queue_of_the_project_is_back_afterwards(self, queue):
        with FakeClock(START) as clock:
            engine.start(Chase)
            clock.advance(days=1)

            assert workflows.executor is queue
            assert events.dispatcher is queue

    def test_a_callback_that_moves_the_clock_only_takes_its_time(self, queue, seen):
        with FakeClock(START) as clock:

            def dawdle(event):
                clock.advance(minutes=45)

            callback_registry.register(dawdle, "pickup_due", name="alone.dawdle", offset=timedelta(minutes=-31))
            try:
                Order.objects.create(pickup_at=START + timedelta(days=1))
                clock.advance(days=1, minutes=20)
            finally:
                callback_registry.unregister("alone.dawdle")

        late = START + timedelta(days=1, minutes=14)
        assert sorted(seen) == [("at", late), ("early", late)]

    def test_a_clock_that_is_not_believed_changes_nothing(self, queue, seen):
        with FakeClock(START):
            Order.objects.create(pickup_at=START + timedelta(hours=1))

            FakeClock(START).advance(days=3)

            assert seen == []
            assert Event.objects.get(event_name="pickup_due").status == "pending"

    def test_a_jump_makes_no_stop_and_what_came_due_is_done_late(self, queue, seen):
        with FakeClock(START) as clock:
            Order.objects.create(pickup_at=START + timedelta(hours=1))

            clock.jump(timedelta(hours=1), days=2)
            assert seen == []
            clock.advance()

            assert {at for _, at in seen} == {START + timedelta(days=2, hours=1)}

    def test_inside_a_transaction_of_the_test_the_clock_only_moves(self, queue, seen):
        with FakeClock(START) as clock:
            with transaction.atomic():
                Order.objects.create(pickup_at=START + timedelta(hours=1))
                clock.advance(days=1)
                assert seen == []
            clock.advance()

            assert len(seen) == 2


class Alone:
    """The same story as a function, in each way of using the clock."""

    def story(self, clock):
        order = Order.objects.create(status="paid", pickup_at=timezone.now() + timedelta(days=2))
        clock.advance(days=3)
        assert sorted(Entry.objects.values_list("text", flat=True)) == [
            f"call {order.pk}",
            f"packed {order.pk}",
            f"paid {order.pk}",
        ]
        assert WorkflowRun.objects.get(name="shop.prepare").finished_at == order.pickup_at - timedelta(hours=1)
        assert not EventDelivery.objects.exclude(status="delivered").exists()


clock_of_the_class = FakeClock(START)


@clock_of_the_class
class TestDecoratingACase(Alone, TestCase):
    def test_it(self):
        self.story(clock_of_the_class)


@clock_of_the_class
class TestDecoratingACaseWithRealCommits(Alone, TransactionTestCase):
    def test_it(self):
        self.story(clock_of_the_class)


class TestInACase(Alone, TestCase):
    def setUp(self):
        self.clock = self.enterContext(FakeClock(START))

    def test_it(self):
        self.story(self.clock)

    @clock_of_the_class
    def test_a_decorated_method(self):
        self.story(clock_of_the_class)


@pytest.mark.django_db(transaction=True)
def test_as_a_fixture(automation_clock):
    Alone().story(automation_clock)


@pytest.mark.django_db
@clock_of_the_class
def test_as_a_decorator_of_a_function():
    Alone().story(clock_of_the_class)


def test_where_the_database_may_not_be_used_it_moves_in_one_go(automation_clock):
    automation_clock.advance(days=3)

    assert datetime.now(UTC) == automation_clock.now()


@workflow("alone.sleeper")
class Sleeper:
    class Context(BaseModel):
        woken: str = ""

    @step(start=True)
    def doze(self):
        return sleep(timedelta(hours=8), then=self.wake)

    @step()
    def wake(self):
        FAKE.advance(minutes=1)
        return complete(woken=str(datetime.now(UTC)))


FAKE = FakeClock(START)


class TestInMemory(unittest.TestCase):
    @FAKE
    def test_a_storage_in_memory_is_seen_too_and_a_step_may_take_its_time(self):
        storage = MemoryStorage()
        with workflows.override(storage=storage):
            run = engine.start(Sleeper)

            FAKE.advance(hours=9)

            assert storage.load(run.id).data["woken"] == str(START + timedelta(hours=8, minutes=1))

    @FAKE
    def test_a_step_that_runs_in_the_test_itself_only_takes_its_time(self):
        """What comes due meanwhile is not done inside the step: it waits for the next move of the clock."""
        storage = MemoryStorage()
        meanwhile = []

        def take_long(workflow):
            FAKE.advance(hours=9)
            meanwhile.append(storage.load(asleep.id).status)
            return complete()

        with workflows.override(storage=storage):
            asleep = engine.start(Sleeper)
            with stubbed_step(Sleeper, "doze", take_long):
                engine.start(Sleeper)
            assert meanwhile == ["waiting"]
            assert FAKE.now() == START + timedelta(hours=9)
            FAKE.advance()

        assert storage.load(asleep.id).status == "completed"
