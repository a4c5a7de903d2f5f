"""A database in trouble: held by a migration, full, or read only. Each save is whole or not at all, and then on."""

from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from django.db import DatabaseError, OperationalError, connection

from automation.events.callbacks import on_event
from automation.events.models import Event, EventDelivery, EventStatus
from automation.events.services import event_processor
from tests.hotel.models import Ledger, Reservation
from tests.processes import wait_until
from tests.troubles import (
    beside,
    deadlocks,
    full_disk,
    held,
    impatient,
    read_only,
    stop_writing,
    taken_back,
    waiting,
    writing_again,
)

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS, DELIVERIES = "automation_events_event", "automation_events_eventdelivery"


@pytest.fixture(autouse=True)
def book(callbacks):
    for name in ("checkin_due", "reservation_confirmed"):
        on_event(name, name=f"book {name}")(lambda event: Ledger.objects.create(entry=_entry(event)))


def _entry(event):
    return f"{event.event_name} {event.entity_id}"


def entries():
    return Counter(Ledger.objects.values_list("entry", flat=True))


def owed():
    """Return what the ledger must hold in the end: each reservation confirmed, and each checked in."""
    keys = Reservation.objects.values_list("pk", flat=True)
    return Counter(f"{name} {key}" for name in ("checkin_due", "reservation_confirmed") for key in keys)


def confirm(clock):
    return Reservation.objects.create(status="confirmed", checkin_at=clock.now())


def confirm_many(clock, count):
    for _ in range(count):
        confirm(clock)


def process():
    event_processor.process_due_events(using="default")


def go_on(clock):
    """Process until nothing is left: the claims and pauses of what was interrupted end in between."""
    for _ in range(4):
        process()
        clock.advance(minutes=10)


def everything_was_done_once():
    assert entries() == owed()
    assert not Event.objects.exclude(status=EventStatus.OCCURRED).exists()
    assert not EventDelivery.objects.exclude(status="delivered").exists()


@pytest.mark.parametrize("table", [EVENTS, DELIVERIES])
def test_save_and_processor_wait_for_a_table_that_a_migration_holds(clock, table):
    confirm(clock)
    before = entries()
    migration = ExitStack()
    migration.enter_context(held(table))
    with beside(lambda: confirm(clock), process), migration:  # it ends before the two are waited for
        # On SQLite nobody can tell who waits; there the two may also come when the table is free again.
        wait_until(lambda: waiting() in (2, None))
        if connection.vendor != "sqlite":
            assert entries() == before
    go_on(clock)
    everything_was_done_once()


def test_save_that_waits_too_long_for_a_migration_fails_whole_and_can_be_made_again(clock):
    with held(EVENTS), impatient(), pytest.raises(OperationalError):
        confirm(clock)
    assert not Reservation.objects.exists()
    assert not Event.objects.exists()
    confirm(clock)
    go_on(clock)
    everything_was_done_once()


@pytest.mark.parametrize("table", [EVENTS, DELIVERIES])
def test_processor_that_waits_too_long_for_a_migration_says_so_and_goes_on_afterwards(clock, table):
    confirm(clock)
    with held(table), impatient(), pytest.raises(OperationalError):
        process()
    assert sum(entries().values()) == 1
    go_on(clock)
    everything_was_done_once()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: no migration begins during a call")
def test_migration_that_begins_during_a_call_rolls_it_back_and_it_is_made_again(clock):
    with ExitStack() as migration:

        @on_event("checkin_due", name="interrupted")
        def interrupted(event):
            Ledger.objects.create(entry=f"interrupted {event.entity_id}")
            if not begun:
                begun.append(migration.enter_context(held(DELIVERIES)))

        begun = []
        confirm(clock)
        with impatient(), pytest.raises(OperationalError):
            process()
        assert begun
        assert not Ledger.objects.filter(entry__startswith="interrupted").exists()
    go_on(clock)
    assert entries() == owed() + Counter(
        f"interrupted {key}" for key in Reservation.objects.values_list("pk", flat=True)
    )


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL stops a statement by itself")
def test_call_whose_statement_is_stopped_by_the_server_has_failed_and_the_next_is_clean(clock):
    @on_event("reservation_confirmed", name="a slow one")
    def slow(event):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 50")
            cursor.execute("SELECT pg_sleep(60)")

    on_event("reservation_confirmed", name="sound")(lambda event: Ledger.objects.create(entry="sound"))
    confirm(clock)
    assert "statement timeout" in EventDelivery.objects.get(callback="a slow one").error
    assert entries()["sound"] == 1


def test_server_that_turned_read_only_takes_no_save_and_loses_nothing(clock):
    confirm(clock)
    with read_only():
        with pytest.raises(DatabaseError):
            confirm(clock)
        with pytest.raises(DatabaseError):
            process()
    assert Reservation.objects.count() == 1
    assert Event.objects.get(event_name="checkin_due").status == EventStatus.PENDING
    go_on(clock)
    everything_was_done_once()


def test_server_that_turns_read_only_between_two_calls_leaves_the_rest_for_later(clock):
    turned = []

    @on_event("reservation_confirmed", name="turns")
    def turn(event):
        Ledger.objects.create(entry="turned")
        if not turned:
            turned.append(stop_writing())

    on_event("reservation_confirmed", name="waits")(lambda event: Ledger.objects.create(entry="waited"))
    with writing_again():
        confirm(clock)
        assert entries()["waited"] == 0
    assert Reservation.objects.get().status == "confirmed", "the save had been committed: it does not fail afterwards"
    go_on(clock)
    assert entries() == owed() + Counter(["turned", "waited"])


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite lets a test bound the size of its database")
def test_full_disk_takes_each_save_whole_or_not_at_all_and_nothing_owed_is_lost(clock):
    for _ in range(30):
        confirm(clock)
    with full_disk():
        with pytest.raises(OperationalError, match="full"):
            confirm_many(clock, 5_000)
        assert Event.objects.count() == 2 * Reservation.objects.count()
        with suppress(OperationalError):
            process()
        assert not entries() - owed(), "nothing is done twice"
    go_on(clock)
    everything_was_done_once()


def updates(table, column):
    """Return what accepts the statements that change this column."""
    return lambda sql, params: sql.startswith("UPDATE") and table in sql.split("SET")[0] and column in sql


def inserts(table):
    return lambda sql, params: sql.startswith("INSERT") and table in sql


@pytest.mark.skipif(not deadlocks(), reason="one writer at a time meets nobody")
@pytest.mark.parametrize("kind", deadlocks())
@pytest.mark.parametrize(
    "matching",
    [
        pytest.param(updates(EVENTS, "occurred_at"), id="event"),
        pytest.param(inserts(DELIVERIES), id="calls"),
        pytest.param(updates(DELIVERIES, "claim_expires_at"), id="claim"),
        pytest.param(inserts("hotel_ledger"), id="callback"),
        pytest.param(updates(DELIVERIES, "finished_at"), id="completion"),
    ],
)
def test_processor_that_meets_a_deadlock_goes_on_with_the_next_and_does_that_one_later(clock, kind, matching):
    confirm_many(clock, 3)
    with taken_back(kind, matching):
        process()
    assert sum(one.startswith("checkin_due") for one in entries()) >= 2
    go_on(clock)
    everything_was_done_once()
