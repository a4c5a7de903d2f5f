"""Processes that die at the worst moment, on each database: both rows or neither, each effect once."""

import os
import random
import signal
from collections import Counter
from datetime import UTC, datetime

import pytest
from django.db import connections

from automation.events.models import Event, EventDelivery
from tests.hotel.models import Job, Ledger, Reservation
from tests.processes import PATIENCE, ended, start, start_loop, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LONG = os.environ.get("AUTOMATION_LONG") == "1"

DIE = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from tests.hotel.models import Reservation

point = sys.argv[1]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def watch(execute, sql, params, many, context):
    ours = sql.startswith(("INSERT INTO \\"automation_events_event\\"", "INSERT INTO `automation_events_event`"))
    if ours and point == "before":
        die()
    result = execute(sql, params, many, context)
    if ours and point == "after":
        die()
    return result

with connection.execute_wrapper(watch):
    Reservation.objects.create(status="confirmed")
"""


@pytest.mark.parametrize("point", ["before", "after"])
def test_process_killed_between_the_two_inserts_leaves_both_rows_or_neither(point):
    process = start("-c", DIE, point)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    connections["default"].close()
    assert (Reservation.objects.count(), Event.objects.count()) == (0, 0)


def test_process_that_lives_leaves_both():
    process = start("-c", DIE, "never")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert (Reservation.objects.count(), Event.objects.count()) == (1, 2)


def test_receiver_that_raises_takes_the_row_with_it():
    from django.db.models.signals import post_save

    def refuse(**_):
        raise RuntimeError

    post_save.connect(refuse, sender=Reservation)
    try:
        with pytest.raises(RuntimeError):
            Reservation.objects.create()
    finally:
        post_save.disconnect(refuse, sender=Reservation)
    assert (Reservation.objects.count(), Event.objects.count()) == (0, 0)


def test_loop_stops_cleanly_at_sigterm():
    process = start_loop()
    with ended([process]):
        assert "Processing events" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "Stopped.\n")


def test_loop_wakes_when_the_next_event_is_due(clock):
    clock.moment = datetime.now(UTC)
    process = start("-m", "django", "process_events", "--loop", "--poll-seconds", "60")
    with ended([process]):
        due_at = datetime.now(UTC)
        Job.objects.create(at=due_at)
        assert "Processing events" in process.stdout.readline()
        wait_until(lambda: Ledger.objects.count() == 3)
    assert Event.objects.get().occurred_at >= due_at


def all_done():
    # Events first: asked in the other order, an event that occurs between the two questions owes its calls unseen.
    if Event.objects.filter(status="pending").exists():
        return False
    return not EventDelivery.objects.exclude(status="delivered").exists()


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_killed_at_random_do_everything_exactly_once(clock, processes):
    clock.moment = datetime.now(UTC)
    jobs, kills = (2000, 100) if LONG else (60, 5)
    chance = random.Random(7)
    Job.objects.bulk_create([Job(at=clock.now()) for _ in range(jobs)])
    Event.objects.sync(Job.objects.all())

    running = [start_loop() for _ in range(processes)]
    with ended(running):
        for _ in range(kills):
            # Each is killed in the middle of something: some calls after the last kill.
            made = Ledger.objects.count() + chance.randrange(3 * jobs // kills)
            wait_until(lambda made=made: Ledger.objects.count() > made or all_done(), seconds=PATIENCE)
            victim = chance.randrange(processes)
            running[victim].kill()
            running[victim].communicate()
            running[victim] = start_loop()
        wait_until(all_done, seconds=600 if LONG else 2 * PATIENCE)

    owed = {f"{call} {pk}" for call in ("first", "second", "third") for pk in Job.objects.values_list("pk", flat=True)}
    made = Counter(Ledger.objects.values_list("entry", flat=True))
    assert {entry: count for entry, count in made.items() if count != 1} == {}
    assert owed ^ set(made) == set()
