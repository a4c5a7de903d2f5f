"""Any sequence of saves, edits, bulk updates, polls, crashes and clean-ups comes to what the oracle says."""

import os
import pkgutil
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial

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

from automation.events.callbacks import callback_registry, on_event
from automation.events.faults import POINTS, injected
from automation.events.models import DeclarationState, Event, EventDelivery
from automation.events.ports import wiring
from automation.events.services import event_processor
from tests.conftest import START, StillClock
from tests.hotel.models import Alarm, Ledger, Parcel, Reservation, Shift
from tests.model.oracle import Booking, Duty, Oracle

LONG = os.environ.get("AUTOMATION_LONG") == "1"

hours = st.sampled_from([None, -40, -25, -2, -1, 0, 1, 2, 3, 24, 40])
"""Few, so that dates and the clock meet exactly, and dates come back to where they were."""
lengths = st.sampled_from([1, 1, 2, 3, 24, 50])
shifts = st.integers(min_value=0, max_value=2)
CRASH_POINTS = [
    *POINTS,
    "automation.events.occurring.carry_out",
    "automation.events.delivering._claim",
    "automation.events.delivering._run",
    "automation.events.delivering._complete",
    "automation.events.deliveries.write",
    "automation.events.polling._make_calls",
]


FEW = 2
"""Reservations at a time: more would each see less."""
AFTER_A_CRASH = timedelta(minutes=6)
EARLY, AFTER = -90, 90
"""Minutes before and after a check-in."""


class Crash(BaseException):
    """The process dies here: nothing that it might still record is recorded."""

    is_simulated_crash = True


class Machine(RuleBasedStateMachine):
    """The package beside the oracle."""

    keys = Bundle("keys")

    def __init__(self):
        super().__init__()
        for model in (EventDelivery, Event, DeclarationState, Ledger, Reservation, Alarm, Parcel, Shift):
            model.objects.all()._raw_delete("default")
        callback_registry.clear()
        on_event("checkin_due", name="checkin")(self._write)
        on_event("reservation_confirmed", name="greet")(self._write)
        on_event("alarm_raised", name="alarm")(self._write)
        on_event("shift_started", name="shift")(self._write)
        for name, offset in (("early", EARLY), ("after", AFTER)):
            on_event("checkin_due", name=name, offset_minutes=offset)(partial(self._write_at, name, offset))
        on_event("checkin_due", name="flaky")(self._write_or_fail)
        self.failing, self.too_early = False, []
        self.alarms, self.parcels = {}, set()
        self.shifts = []
        self.clock = StillClock(START)
        self._override = wiring.override(clock=self.clock)
        self._override.__enter__()
        self.oracle = Oracle(now=START)

    def teardown(self):
        self._override.__exit__(None, None, None)

    @staticmethod
    def _write(event):
        Ledger.objects.create(entry=f"{event.event_name} {event.entity_id}")

    def _write_at(self, name, offset, event):
        if event.at + timedelta(minutes=offset) > self.clock.now():
            self.too_early.append((name, event.at, self.clock.now()))
        Ledger.objects.create(entry=f"{name} {event.pk} {event.generation}")

    def _write_or_fail(self, event):
        Ledger.objects.create(entry=f"flaky {event.pk} {event.generation}")
        if self.failing:
            raise ValueError("not now")

    def _date(self, hour):
        return None if hour is None else self.clock.now() + timedelta(hours=hour)

    @initialize(target=keys, dates=st.tuples(hours, hours), confirmed=st.tuples(st.booleans(), st.booleans()))
    def begin(self, dates, confirmed):
        """Have something to work on in each example, whichever rules it leaves out."""
        return multiple(*(self.create(*one, bulk=False) for one in zip(dates, confirmed, strict=True)))

    @precondition(lambda self: len(self.oracle.bookings) < FEW)
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

    @rule(key=keys, hour=hours, bulk=st.booleans(), looks=st.booleans())
    def move(self, key, hour, bulk, looks):
        self._change(key, bulk, checkin_at=self._date(hour))
        self.oracle.bookings[key].date = self._date(hour)
        if not bulk:
            self._first_save(key)
        if looks:
            self.poll()

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

    @rule(key=keys, bulk=st.booleans())
    def move_to_where_it_occurred(self, key, bulk):
        last = self.oracle.bookings[key].last
        if last is not None:
            self._change(key, bulk, checkin_at=last)
            self.oracle.bookings[key].date = last
            if not bulk:
                self._first_save(key)

    @rule(target=keys, key=consumes(keys), hour=hours, confirmed=st.booleans())
    def use_the_key_again(self, key, hour, confirmed):
        """It was deleted behind our back."""
        Reservation.objects.filter(pk=key)._raw_delete("default")
        self.oracle.deleted(key)
        reservation = Reservation(pk=key, checkin_at=self._date(hour), status="confirmed" if confirmed else "pending")
        reservation.save(force_insert=True)
        self.oracle.bookings[key] = Booking(date=reservation.checkin_at, confirmed=confirmed)
        self._first_save(key)
        return key

    @rule(level=st.sampled_from([1, 9]), number=st.integers(min_value=0, max_value=1))
    def sound(self, level, number):
        alarm, before, raised = self.alarms.get(number, (None, 0, 0))
        alarm = alarm or Alarm()
        alarm.level = level
        alarm.save()
        self.alarms[number] = (alarm, level, raised + (level > 5 >= before))

    @precondition(lambda self: len(self.shifts) < 3)
    @rule(hour=st.integers(min_value=-26, max_value=2), staffed=st.booleans())
    def plan_a_shift(self, hour, staffed):
        shift = Shift.objects.create(starts_at=self._date(hour), staffed=staffed)
        self.shifts.append(shift.pk)
        self.oracle.planned(shift.pk, Duty(date=shift.starts_at, staffed=staffed))

    @precondition(lambda self: self.shifts)
    @rule(which=shifts, staffed=st.booleans(), bulk=st.booleans())
    def staff_a_shift(self, which, staffed, bulk):
        key = self.shifts[which % len(self.shifts)]
        self.oracle.duties[key].staffed = staffed
        if bulk:
            Shift.objects.filter(pk=key).update(staffed=staffed)
            return
        shift = Shift.objects.get(pk=key)
        shift.staffed = staffed
        shift.save()
        self.oracle.staffed(key)

    @rule(hour=st.integers(min_value=-20, max_value=40), new=st.booleans())
    def send_by_the_tracking_manager(self, hour, new):
        if new:
            Parcel.objects.bulk_create([Parcel(sent_at=self._date(hour))])
        else:
            Parcel.objects.update(sent_at=self._date(hour))

    @rule(failing=st.booleans())
    def let_a_callback_fail(self, failing):
        self.failing = failing

    @rule(key=consumes(keys))
    def delete(self, key):
        Reservation.objects.get(pk=key).delete()
        self.oracle.deleted(key)

    @rule()
    def sync(self):
        Event.objects.sync(Reservation.objects.all())
        for key in self.oracle.bookings:
            self._first_save(key)

    @rule(amount=lengths, looks=st.booleans())
    def advance(self, amount, looks):
        self.oracle.now = self.clock.advance(hours=amount)
        if looks:
            self.poll()

    @rule(amount=st.integers(min_value=1, max_value=3))
    def advance_by_half_hours(self, amount):
        self.oracle.now = self.clock.advance(minutes=30 * amount)

    @rule()
    def poll(self):
        self._leave_no_early_look_alone()
        while event_processor.process_due_events()["due_events_found"]:
            pass
        self.oracle.polled()

    @rule(point=st.sampled_from(CRASH_POINTS), after=st.booleans())
    def crash(self, point, after):
        self._leave_no_bound_between_the_looks()
        self._leave_no_early_look_alone()
        with ExitStack() as stack:
            if point in POINTS:
                stack.enter_context(injected(point, self._die))
            else:
                patch, original = stack.enter_context(pytest.MonkeyPatch.context()), pkgutil.resolve_name(point)

                def die(*args, **kwargs):
                    if after:
                        original(*args, **kwargs)
                    raise Crash

                patch.setattr(point, die)
            stack.enter_context(suppress(Crash))
            event_processor.process_due_events()
        self.oracle.now = self.clock.advance(minutes=AFTER_A_CRASH.seconds // 60)
        self.poll()

    def _leave_no_bound_between_the_looks(self):
        """Else it would make a difference whether the process that dies had come to look at the shift."""
        bounds = [one.bound for one in self.oracle.duties.values()]
        while any(self.clock.now() < bound <= self.clock.now() + AFTER_A_CRASH for bound in bounds):
            self.oracle.now = self.clock.advance(minutes=AFTER_A_CRASH.seconds // 60)

    def _leave_no_early_look_alone(self):
        """Else it would make a difference whether the early call still has to look, and finds a date moved unseen."""
        ahead = [one for one in self.oracle.bookings.values() if one.status == "pending" and one.at is not None]
        moved = [one.at for one in ahead if one.date != one.at]
        while any(at + timedelta(minutes=EARLY) <= self.clock.now() < at for at in moved):
            self.oracle.now = self.clock.advance(minutes=-EARLY)

    @staticmethod
    def _die(_):
        raise Crash

    @rule()
    def deliver_again(self):
        ids = list(EventDelivery.objects.exclude(status="pending").values_list("pk", flat=True))
        assert event_processor.deliver(ids, using="default") == 0

    @rule()
    def clean_up(self):
        event_processor.cleanup_old_events(1)

    @invariant()
    def ledger_is_as_promised(self):
        named = ("checkin_due", "reservation_confirmed", "alarm_raised", "shift_started")
        found = Counter(one for one in Ledger.objects.values_list("entry", flat=True) if one.startswith(named))
        expected = Counter({f"alarm_raised {alarm.pk}": raised for alarm, _, raised in self.alarms.values()})
        expected += Counter(
            f"shift_started {key}" for key, one in self.oracle.duties.items() if one.status == "occurred"
        )
        told = {key: (one.checkins, one.greeted) for key, one in self.oracle.bookings.items()}
        for key, (checkins, greeted) in [*told.items(), *self.oracle.finished.items()]:
            expected[f"checkin_due {key}"] += checkins
            expected[f"reservation_confirmed {key}"] += greeted
        assert found == +expected

    @invariant()
    def rows_are_as_promised(self):
        rows = Event.objects.current().filter(event_name="checkin_due")
        found = {int(row.entity_id): (row.status, row.at) for row in rows}
        expected = {key: (one.status, one.at) for key, one in self.oracle.bookings.items() if one.has_rows}
        assert found == expected

    @invariant()
    def shifts_are_as_promised(self):
        rows = Event.objects.current().filter(event_name="shift_started").values_list("entity_id", "status")
        assert {int(key): status for key, status in rows} == {
            key: one.status for key, one in self.oracle.duties.items()
        }

    @invariant()
    def each_call_is_made_once_and_not_before_its_time(self):
        made = Counter(Ledger.objects.filter(entry__regex="^(early|after|flaky) ").values_list("entry", flat=True))
        assert set(made.values()) <= {1}, made
        assert self.too_early == []
        occurred = Event.objects.filter(event_name="checkin_due", status="occurred", settled_at__isnull=False)
        for event in occurred.filter(deliveries__isnull=False).distinct():
            assert made[f"early {event.pk} {event.generation}"] == 1, "before, or at the occurrence at the latest"

    @invariant()
    def dates_of_the_tracking_manager_are_followed(self):
        rows = Event.objects.current().filter(event_name="parcel_sent").values_list("entity_id", "at")
        assert {int(key): at for key, at in rows} == dict(Parcel.objects.values_list("pk", "sent_at"))

    @invariant()
    def nothing_pending_is_without_a_time_or_a_reason(self):
        assert not Event.objects.filter(status="pending", next_at=None, why="").exists()


@pytest.mark.django_db(transaction=True)
def test_any_sequence_comes_to_what_the_oracle_says():
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=400 if LONG else 60,
            stateful_step_count=50 if LONG else 40,
            deadline=None,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
        ),
    )
