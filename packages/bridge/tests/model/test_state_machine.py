"""Any sequence of saves and deletions, as time goes by, leaves the runs that the oracle says."""

import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from automation.events.faults import POINTS as EVENTS_POINTS
from automation.events.models import DeclarationState, Event, EventDelivery
from automation.testing import Faults, Harness
from automation.workflows.core import engine
from automation.workflows.engine.faults import POINTS
from automation.workflows.models import WorkflowReceipt, WorkflowRun, WorkflowSignal
from tests.hotel.models import Stay
from tests.model.oracle import Arrival

LONG = os.environ.get("AUTOMATION_LONG") == "1"

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)
FEW = 2
"""Stays at a time: more would each see less."""

halves = st.sampled_from([None, -60, -48, -3, -2, -1, 0, 1, 2, 3, 4, 6, 9])
"""Half hours from now; few, so that dates and the clock meet exactly, and dates come back to where they were."""


class Machine(RuleBasedStateMachine):
    """Events, bridge and workflows beside the oracle. All that is due is done before the next thing happens."""

    stays = Bundle("stays")
    faults: Faults | None = None

    def __init__(self):
        super().__init__()
        for model in (WorkflowReceipt, WorkflowSignal, EventDelivery, Event, DeclarationState, Stay):
            model.objects.all()._raw_delete("default")
        WorkflowRun.rows.all().delete()
        self.stack = ExitStack()
        self.automation = self.stack.enter_context(Harness(at=START, faults=self.faults))
        self.arrivals: dict[int, Arrival] = {}
        self.gone: dict[int, Arrival] = {}

    def teardown(self):
        self.stack.close()

    @property
    def now(self):
        return self.automation.clock.now()

    @property
    def mark(self):
        """The last full half hour: dates are at such marks, and nothing else is."""
        return self.now - (self.now - START) % HALF_AN_HOUR

    def date(self, half_hours):
        return None if half_hours is None else self.mark + half_hours * HALF_AN_HOUR

    def settle(self):
        """Let everything happen that is due; here the verbs of the harness have done so."""

    @initialize(target=stays, first=halves, second=halves, confirmed=st.booleans())
    def begin(self, first, second, confirmed):
        """Have something to work on in each example."""
        return multiple(self.create(first, confirmed), self.create(second, True))

    @precondition(lambda self: len(self.arrivals) < FEW)
    @rule(target=stays, half_hours=halves, confirmed=st.booleans())
    def create(self, half_hours, confirmed):
        stay = Stay(arrives_at=self.date(half_hours), confirmed=confirmed)
        self.automation.save(stay)
        self.arrivals[stay.pk] = Arrival.created(stay.arrives_at, self.now, confirmed=confirmed)
        self.settle()
        return stay.pk

    @rule(key=stays, half_hours=halves)
    def move(self, key, half_hours):
        self.change(key, arrives_at=self.date(half_hours))

    @rule(key=stays, confirmed=st.booleans())
    def decide(self, key, confirmed):
        self.change(key, confirmed=confirmed)

    @rule(key=stays, confirmed=st.booleans())
    def decide_unseen(self, key, confirmed):
        """By an `update()`, of which nobody is told."""
        Stay.objects.filter(pk=key).update(confirmed=confirmed)
        self.arrivals[key].confirmed = confirmed

    @rule(key=stays)
    def move_to_where_it_occurred(self, key):
        if self.arrivals[key].last is not None:
            self.change(key, arrives_at=self.arrivals[key].last)

    def change(self, key, **fields):
        self.automation.save(Stay.objects.get(pk=key), **fields)
        arrival = self.arrivals[key]
        arrival.date = fields.get("arrives_at", arrival.date)
        arrival.confirmed = fields.get("confirmed", arrival.confirmed)
        arrival.saved(self.now)
        self.settle()

    @rule(key=consumes(stays))
    def delete(self, key):
        self.automation.delete(Stay.objects.get(pk=key))
        self.gone[key] = self.arrivals.pop(key)
        self.gone[key].deleted()
        self.settle()

    @rule()
    def sync(self):
        for key, arrival in self.arrivals.items():
            if arrival.confirmed and not arrival.is_welcomed:
                self.change(key)  # else its welcome and its arrival may both be found now, and either may be first
        Event.objects.sync(Stay.objects.all())
        for arrival in self.arrivals.values():
            arrival.saved(self.now)
        self.automation.run_until_idle()
        self.settle()

    @rule()
    def announce_again(self):
        """As a delivery that comes twice, or from another database late."""
        for event in Event.objects.filter(event_name="arrival_due", status="occurred").exclude(current_key=None):
            engine.handle_event_occurred(event)
        self.automation.run_until_idle()
        self.settle()

    @rule(half_hours=st.sampled_from([1, 1, 2, 3, 8]))
    def advance(self, half_hours):
        for _ in range(half_hours):
            self.advance_to_the_next_mark()

    def advance_to_the_next_mark(self):
        self.automation.advance_to(self.mark + HALF_AN_HOUR)
        self.settle()
        for _, arrival in self.all():
            arrival.look(self.now)

    @invariant()
    def each_run_has_begun_that_should(self):
        expected = {(name, key): n for key, arrival in self.all() for name, n in arrival.ran.items()}
        assert Counter((name, key) for name, key, _ in self.runs("completed")) == expected

    @invariant()
    def each_that_has_not_begun_waits_for_its_time(self):
        expected = {("HourBefore", key, arrival.before_at) for key, arrival in self.all()}
        expected |= {("HalfAnHourAfter", key, arrival.after_at) for key, arrival in self.all()}
        assert self.runs("waiting") == sorted(each for each in expected if each[2] is not None)

    @invariant()
    def who_waits_for_the_arrival_hears_of_one(self):
        heard = WorkflowRun.objects.filter(name="arrival_listener", status="completed")
        assert Counter(int(run.entity_id) for run in heard) == +Counter({key: one.heard for key, one in self.all()})

    @invariant()
    def nothing_else_is_left_of_them(self):
        assert self.runs("ready", "running", "paused", "failed") == []

    def all(self):
        return [*self.arrivals.items(), *self.gone.items()]

    def runs(self, *statuses):
        """Return workflow, stay and time of the runs of arrivals."""
        found = WorkflowRun.objects.filter(name__startswith="arrival_due.", status__in=statuses)
        return sorted((run.name.rpartition(".")[2], int(run.entity_id), run.wake_at) for run in found)


class Stormy(Machine):
    """The same, where messages are lost, doubled, late and out of order, and workers die."""

    faults = Faults(drop=0.3, duplicate=0.3, delay=0.3, longest_delay=timedelta(seconds=5), reorder=True)

    def __init__(self):
        super().__init__()
        self.storms = count()

    @initialize(seed=st.integers(min_value=0, max_value=10_000))
    def brew(self, seed):
        self.storms = count(seed)

    def settle(self):
        """Let the storm pass: what had no message is found by the sweeps of the next minutes."""
        self.automation.executor.misbehave(None)
        while WorkflowRun.objects.filter(status__in=["ready", "running"]).exists():
            self.automation.advance(seconds=15)
        self.automation.executor.misbehave(replace(self.faults, seed=next(self.storms)))
        if self.now - self.mark > timedelta(minutes=20):
            self.advance_to_the_next_mark()

    @rule(point=st.sampled_from([*POINTS, *EVENTS_POINTS]), time=st.integers(min_value=1, max_value=3))
    def die(self, point, time):
        """A worker dies here, if one comes by; it is missed when its claim is over."""
        try:
            with self.automation.worker_dies(point, time=time):
                self.automation.advance_to(self.mark + HALF_AN_HOUR)
        except AssertionError as error:
            if not str(error).startswith("No worker died"):
                raise
        self.automation.advance(minutes=7)
        self.settle()
        for _, arrival in self.all():
            arrival.look(self.now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("machine", [Machine, Stormy])
def test_any_sequence_leaves_the_runs_that_the_oracle_says(machine: type[Machine]):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=400 if LONG else 30,
            stateful_step_count=50 if LONG else 30,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
