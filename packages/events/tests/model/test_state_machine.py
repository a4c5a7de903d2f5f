"""Any sequence of saves, edits, bulk updates, polls, crashes and clean-ups comes to what the oracle says."""

import os
import pkgutil
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from automation.events.callbacks import callback_registry, on_event
from automation.events.models import DeclarationState, Event, EventDelivery
from automation.events.ports import wiring
from automation.events.services import event_processor
from tests.conftest import START, StillClock
from tests.hotel.models import Ledger, Reservation
from tests.model.oracle import Booking, Oracle

LONG = os.environ.get("AUTOMATION_LONG") == "1"

hours = st.none() | st.integers(min_value=-40, max_value=40)
CRASH_POINTS = [
    "automation.events.occurring.carry_out",
    "automation.events.delivering._claim",
    "automation.events.delivering._run",
    "automation.events.delivering._complete",
    "automation.events.deliveries.write",
    "automation.events.polling._make_calls",
]


class Crash(BaseException):
    """The process dies here."""


class Machine(RuleBasedStateMachine):
    """The package beside the oracle."""

    keys = Bundle("keys")

    def __init__(self):
        super().__init__()
        for model in (EventDelivery, Event, DeclarationState, Ledger, Reservation):
            model.objects.all()._raw_delete("default")
        callback_registry.clear()
        on_event("checkin_due", name="checkin")(self._write)
        on_event("reservation_confirmed", name="greet")(self._write)
        self.clock = StillClock(START)
        self._override = wiring.override(clock=self.clock)
        self._override.__enter__()
        self.oracle = Oracle(now=START)

    def teardown(self):
        self._override.__exit__(None, None, None)

    @staticmethod
    def _write(event):
        Ledger.objects.create(entry=f"{event.event_name} {event.entity_id}")

    def _date(self, hour):
        return None if hour is None else self.clock.now() + timedelta(hours=hour)

    @rule(target=keys, hour=hours, confirmed=st.booleans(), bulk=st.booleans())
    def create(self, hour, confirmed, bulk):
        reservation = Reservation(checkin_at=self._date(hour), status="confirmed" if confirmed else "pending")
        if bulk:
            Reservation.objects.bulk_create([reservation])
        else:
            reservation.save()
        self.oracle.bookings[reservation.pk] = Booking(date=reservation.checkin_at, confirmed=confirmed)
        if not bulk:
            self._first_save(reservation.pk)
        return reservation.pk

    def _first_save(self, key):
        booking = self.oracle.bookings[key]
        if not booking.has_rows:
            self.oracle._arm(booking)
        self.oracle.saved(key)

    @rule(key=keys, hour=hours, bulk=st.booleans())
    def move(self, key, hour, bulk):
        self._change(key, bulk, checkin_at=self._date(hour))
        self.oracle.bookings[key].date = self._date(hour)
        if not bulk:
            self._first_save(key)

    @rule(key=keys, confirmed=st.booleans(), bulk=st.booleans())
    def decide(self, key, confirmed, bulk):
        self._change(key, bulk, status="confirmed" if confirmed else "pending")
        self.oracle.bookings[key].confirmed = confirmed
        if not bulk:
            self._first_save(key)

    def _change(self, key, bulk, **values):
        if bulk:
            Reservation.objects.filter(pk=key).update(**values)
            return
        reservation = Reservation.objects.get(pk=key)
        vars(reservation).update(values)
        reservation.save()

    @rule(key=consumes(keys))
    def delete(self, key):
        Reservation.objects.get(pk=key).delete()
        self.oracle.deleted(key)

    @rule()
    def sync(self):
        Event.objects.sync(Reservation.objects.all())
        for key in self.oracle.bookings:
            self._first_save(key)

    @rule(amount=st.integers(min_value=1, max_value=50))
    def advance(self, amount):
        self.oracle.now = self.clock.advance(hours=amount)

    @rule()
    def poll(self):
        while event_processor.process_due_events()["due_events_found"]:
            pass
        self.oracle.polled()

    @rule(point=st.sampled_from(CRASH_POINTS), after=st.booleans())
    def crash(self, point, after):
        with pytest.MonkeyPatch.context() as patch:
            original = pkgutil.resolve_name(point)

            def die(*args, **kwargs):
                if after:
                    original(*args, **kwargs)
                raise Crash

            patch.setattr(point, die)
            with suppress(Crash):
                event_processor.process_due_events()
        self.oracle.now = self.clock.advance(minutes=6)
        self.poll()

    @rule()
    def deliver_again(self):
        ids = list(EventDelivery.objects.values_list("pk", flat=True))
        assert event_processor.deliver(ids, using="default") == 0

    @rule()
    def clean_up(self):
        event_processor.cleanup_old_events(1)

    @invariant()
    def ledger_is_as_promised(self):
        found = Counter(Ledger.objects.values_list("entry", flat=True))
        expected = Counter()
        told = {key: (one.checkins, one.greeted) for key, one in self.oracle.bookings.items()}
        for key, (checkins, greeted) in {**told, **self.oracle.finished}.items():
            expected[f"checkin_due {key}"] = checkins
            expected[f"reservation_confirmed {key}"] = greeted
        assert found == +expected

    @invariant()
    def rows_are_as_promised(self):
        rows = Event.objects.current().filter(event_name="checkin_due")
        found = {int(row.entity_id): (row.status, row.at) for row in rows}
        expected = {key: (one.status, one.at) for key, one in self.oracle.bookings.items() if one.has_rows}
        assert found == expected

    @invariant()
    def nothing_pending_is_without_a_time_or_a_reason(self):
        assert not Event.objects.filter(status="pending", next_at=None, why="").exists()


@pytest.mark.django_db(transaction=True)
def test_any_sequence_comes_to_what_the_oracle_says():
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=400 if LONG else 12,
            stateful_step_count=50 if LONG else 20,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
