"""Much at once: everything due in one second, one object saved without end. What is held and kept stays bounded."""

import math
import os
import weakref
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection

from automation.events import polling
from automation.events.callbacks import on_event, on_event_rescheduled
from automation.events.models import Event, EventDelivery, EventStatus
from automation.events.services import event_processor
from tests.conftest import START
from tests.counting import NOT_COUNTED
from tests.hotel.models import Reservation, Task

pytestmark = pytest.mark.django_db(transaction=True)

LONG = os.environ.get("AUTOMATION_LONG") == "1"
HERD = 100_000 if LONG else 1_500
SAVES = 10_000 if LONG else 200
BATCH = 500 if LONG else 100
ROOM = 5 * BATCH
"""Rows that may be in memory at once: those at hand, their entities, their calls, and those just being read."""
HOUR = timedelta(hours=1)


@contextmanager
def statements():
    """Count the statements of the block; Django's own log of them is bounded, and herds are not."""
    count = Counter()

    def counting(execute, sql, params, many, context):
        count["all"] += not sql.upper().startswith(NOT_COUNTED)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(counting):
        yield count


class Alive:
    """Counts the rows of a model that are in memory at the same time."""

    def __init__(self):
        self.now, self.most = 0, 0

    def watch(self, instance, **_):
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(instance, self._gone).atexit = False

    def _gone(self):
        self.now -= 1


@pytest.fixture
def alive():
    from django.db.models.signals import post_init

    counted = Alive()
    for model in (Event, EventDelivery, Task):
        post_init.connect(counted.watch, sender=model)
    yield counted
    for model in (Event, EventDelivery, Task):
        post_init.disconnect(counted.watch, sender=model)


def gather(clock):
    """Return a herd of tasks that are all due within one second, in no order."""
    microseconds = [(number * 7919) % 1_000_000 for number in range(HERD)]
    tasks = [Task(due_at=clock.now() + timedelta(microseconds=one)) for one in microseconds]
    Task.objects.bulk_create(tasks, batch_size=2_000)
    del tasks
    Event.objects.sync(Task.objects.all())
    clock.advance(seconds=1)


def test_herd_due_in_one_second_goes_oldest_first_in_bounded_batches(clock, alive, monkeypatch, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": BATCH}
    called, order, sizes = Counter(), [START], []

    @on_event("timed_due", name="seen")
    def see(event):
        called[event.entity_id] += 1
        order[:] = [event.at] if event.at >= order[0] else [order[0], "out of order"]

    def looking(events, *, using, look_at=polling.look_at):
        sizes.append(len(events))
        return look_at(events, using=using)

    monkeypatch.setattr(polling, "look_at", looking)
    gather(clock)
    alive.most = alive.now
    with statements() as made:
        report = event_processor.process_due_events(using="default")
    assert report["due_events_found"] == report["events_processed"] == report["deliveries_made"] == HERD
    assert (len(called), set(called.values())) == (HERD, {1})
    assert len(order) == 1, "an older one came after a younger one"
    assert max(sizes) == BATCH
    assert alive.most <= ROOM, "what is in memory does not grow with the herd"
    # A batch takes six, of which one inserts the calls: several where the database takes fewer rows at once. Each call
    # takes two of its own: its claim, and its completion.
    at_once = connection.ops.bulk_batch_size(EventDelivery._meta.concrete_fields, range(BATCH))
    assert made["all"] <= 10 + math.ceil(HERD / BATCH) * (5 + math.ceil(BATCH / at_once)) + 2 * HERD


def test_object_saved_without_end_keeps_one_row_for_each_event_and_no_call_twice(clock):
    made = Counter()
    for name, minutes in (("early", -60), ("at", 0), ("after", 60)):
        on_event("checkin_due", name=name, offset_minutes=minutes)(lambda event, name=name: made.update([name]))
    on_event("reservation_confirmed", name="confirmed")(lambda event: made.update(["confirmed"]))
    reservation = Reservation.objects.create(checkin_at=clock.now() + HOUR)

    for number in range(SAVES):
        reservation.status = "pending" if number % 3 else "confirmed"
        reservation.checkin_at = START + timedelta(days=2, minutes=number % 50)
        reservation.note = str(number)
        reservation.save()
        clock.advance(seconds=6)  # a thousand saves are a hundred minutes
    assert Event.objects.count() == 2
    assert EventDelivery.objects.count() == 2, "one call owed early, one made when it was confirmed"

    reservation.status = "confirmed"
    reservation.save()
    clock.moment = reservation.checkin_at + 2 * HOUR
    event_processor.process_due_events()
    assert made == {"confirmed": 1, "early": 1, "at": 1, "after": 1}
    assert set(Event.objects.values_list("status", "generation")) == {(EventStatus.OCCURRED, 1)}


def test_what_every_move_of_a_date_leaves_behind_is_cleaned_up_while_the_event_is_still_ahead(clock):
    """Told of each move, armed and disarmed without end: the event never settles, and its history still goes."""
    on_event("checkin_due", name="early", offset_minutes=-60)(lambda event: None)
    on_event_rescheduled("checkin_due", name="moved")(lambda event: None)
    far = clock.now() + timedelta(days=900)
    reservation = Reservation.objects.create(checkin_at=far)
    for number in range(SAVES):
        reservation.checkin_at = far + number * HOUR if number % 3 else None
        reservation.save()
    assert EventDelivery.objects.count() > SAVES

    clock.advance(days=31)
    event_processor.cleanup_old_events()
    kept = EventDelivery.objects.order_by("generation").values_list("callback", "status")
    assert list(kept) == [("early", "pending")]
    assert Event.objects.count() == 2

    clock.moment = reservation.checkin_at
    event_processor.process_due_events()
    assert EventDelivery.objects.get().callback == "early"
