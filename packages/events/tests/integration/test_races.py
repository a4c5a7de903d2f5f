"""Two connections at once, in the order that hurts: nothing occurs at an old time, nothing twice, nothing is lost."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction

from automation.events import delivering, occurring, syncing
from automation.events.callbacks import on_event
from automation.events.models import Event, EventDelivery, EventStatus
from automation.events.ports import wiring
from automation.events.services import event_processor
from tests.doubles import RecordingDispatcher
from tests.hotel.models import Guest, Ledger, Reservation
from tests.processes import PATIENCE
from tests.troubles import beside, impatient

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def elsewhere(work):
    """Do it on another connection, and wait for its end."""
    failed = []

    def run():
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it waits for a lock that this connection holds"
    if failed:
        raise failed[0]


@pytest.fixture
def before_writing(monkeypatch):
    """Let something happen elsewhere between the processor's reading and its writing, once."""

    def arrange(work):
        write, todo = occurring._write, [work]

        def late(*args, **kwargs):
            if todo:
                elsewhere(todo.pop())
            return write(*args, **kwargs)

        monkeypatch.setattr(occurring, "_write", late)

    return arrange


def book(clock, **by):
    return Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(**by))


def row(reservation):
    return Event.objects.for_entity(reservation).current().get(event_name="checkin_due")


def move(reservation, moment):
    mine = Reservation.objects.get(pk=reservation.pk)
    mine.checkin_at = moment
    mine.save()


def test_date_moved_while_the_processor_decides_wins(clock, before_writing):
    reservation, other = book(clock), book(clock)
    before_writing(lambda: move(reservation, clock.now() + HOUR))
    assert event_processor.process_due_events()["events_processed"] == 1
    assert (row(reservation).status, row(reservation).at) == (EventStatus.PENDING, clock.now() + HOUR)
    assert row(other).status == EventStatus.OCCURRED, "the rest of the batch is not held up"


def test_save_that_finds_its_row_right_while_the_processor_sees_it_wrong_is_not_overwritten(clock, before_writing):
    """`update()` revoked it unseen; the processor sees that; the save restores it, and changes nothing in the row."""
    reservation = book(clock)
    Reservation.objects.update(status="pending")
    before_writing(reservation.save)
    event_processor.process_due_events()
    assert row(reservation).status == EventStatus.OCCURRED


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: the processor waits for the save")
def test_save_under_way_that_finds_its_row_right_is_waited_for(clock):
    reservation, other = book(clock), book(clock)
    Reservation.objects.filter(pk=reservation.pk).update(status="pending")
    saved, go_on = threading.Event(), threading.Event()

    def save_slowly():
        with transaction.atomic():
            reservation.save()
            saved.set()
            assert go_on.wait(PATIENCE)

    with beside(save_slowly):
        assert saved.wait(PATIENCE)
        event_processor.process_due_events()
        assert row(other).status == EventStatus.OCCURRED, "nobody else waits"
        assert row(reservation).status == EventStatus.PENDING
        go_on.set()
    clock.advance(seconds=1)
    event_processor.process_due_events()
    assert row(reservation).status == EventStatus.OCCURRED


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: the recheck waits for the processor")
def test_recheck_that_finds_its_row_right_while_the_processor_sees_it_wrong_is_not_overwritten(clock, monkeypatch):
    """The condition is about another row, so nobody saves the entity that the processor holds."""
    reservation = book(clock, hours=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("automation.events.inline._follow", lambda work: None)
        guest = Guest.objects.create(reservation=reservation)
    Reservation.objects.update(status="pending")
    carry_out, decided, restored = occurring.carry_out, threading.Event(), threading.Event()

    def restore():
        assert decided.wait(PATIENCE)
        Reservation.objects.update(status="confirmed")
        restored.set()
        Event.objects.recheck(guest)

    def late(*args, **kwargs):
        decided.set()
        assert restored.wait(PATIENCE)
        return carry_out(*args, **kwargs)

    monkeypatch.setattr(occurring, "carry_out", late)
    with beside(restore):
        event_processor.process_due_events()
    event_processor.process_due_events()
    assert Event.objects.for_entity(guest).get().status == EventStatus.OCCURRED


def test_entity_deleted_while_the_processor_decides_is_cancelled(clock, before_writing):
    reservation = book(clock)
    before_writing(Reservation.objects.get(pk=reservation.pk).delete)
    assert event_processor.process_due_events()["events_processed"] == 0
    assert Event.objects.get(event_name="checkin_due").status == EventStatus.CANCELLED


def test_two_processors_on_the_same_batch_let_each_event_occur_once(clock, before_writing):
    on_event("checkin_due", name="a")(lambda event: Ledger.objects.create(entry=event.entity_id))
    for _ in range(5):
        book(clock)
    before_writing(event_processor.process_due_events)
    event_processor.process_due_events()
    assert Ledger.objects.count() == 5
    assert set(EventDelivery.objects.values_list("attempts", flat=True)) == {1}


def test_delivery_claimed_elsewhere_is_not_made_here(clock, monkeypatch):
    made = []
    on_event("checkin_due", name="a")(lambda event: made.append(threading.current_thread().name))
    book(clock)
    may_begin, todo = delivering._may_begin, [1]

    def late(delivery, *, using):
        if todo:
            todo.pop()
            elsewhere(lambda: delivering.deliver(delivering.load([delivery.pk], using=using), using=using))
        return may_begin(delivery, using=using)

    monkeypatch.setattr(delivering, "_may_begin", late)
    event_processor.process_due_events()
    assert len(made) == 1


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer: the save waits for the sync")
def test_save_between_the_reading_and_the_writing_of_a_sync_wins(clock, monkeypatch):
    reservation = book(clock, hours=1)
    Reservation.objects.update(checkin_at=clock.now() + 2 * HOUR)
    read, todo = syncing.read_entities, [1]

    def late(*args, **kwargs):
        found = read(*args, **kwargs)
        if todo:
            todo.pop()
            elsewhere(lambda: move(reservation, clock.now() + 3 * HOUR))
        return found

    monkeypatch.setattr(syncing, "read_entities", late)
    Event.objects.sync(Reservation.objects.all())
    assert row(reservation).at == clock.now() + 3 * HOUR


def test_many_savers_of_one_entity_end_with_what_the_database_holds(clock):
    reservation = book(clock, hours=1)
    start = threading.Barrier(4)

    def save(number):
        try:
            start.wait(PATIENCE)
            for round_ in range(8):
                move(reservation, clock.now() + timedelta(hours=1 + number, minutes=round_))
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    reservation.refresh_from_db()
    assert row(reservation).at == reservation.checkin_at
    assert Event.objects.current().count() == 2


def test_first_saves_of_one_row_from_two_sides_make_one_event(clock):
    """Neither finds a row; both insert; the unique key lets one of them look again."""
    from automation.events import muted, recorder

    with muted():
        reservation = book(clock, hours=1)
    carry_out, todo = recorder.carry_out, [1]

    def late(decisions, **kwargs):
        if todo:
            todo.pop()
            elsewhere(lambda: Event.objects.sync(Reservation.objects.all()))
        return carry_out(decisions, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "carry_out", late)
        if connection.vendor == "sqlite":
            Event.objects.sync(Reservation.objects.all())
            todo.clear()
        reservation.save()
    assert Event.objects.current().count() == 2


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no row locks")
def test_slow_callback_holds_no_lock_on_its_event_or_entity(clock):
    @on_event("checkin_due", name="slow")
    def slow(event):
        elsewhere(lambda: move(event.entity, clock.now() + HOUR))

    reservation = book(clock)
    event_processor.process_due_events()
    assert EventDelivery.objects.get().status == "delivered"
    assert row(reservation).generation == 2


def test_rows_that_keep_changing_give_the_save_up(clock, monkeypatch):
    from automation.events import recorder
    from automation.events.errors import StaleEvent

    reservation = book(clock, hours=1)

    def stale(*_, **__):
        raise StaleEvent("again")

    monkeypatch.setattr(recorder, "carry_out", stale)
    reservation.checkin_at += HOUR
    with pytest.raises(StaleEvent, match=r"changed under its save 5 times\. Save it again"), transaction.atomic():
        reservation.save()
    monkeypatch.undo()
    reservation.refresh_from_db()
    assert row(reservation).at == reservation.checkin_at


@pytest.fixture
def open_save():
    """Let a save on another connection stay open while the test goes on."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer: the processor waits for the save")
    saved, go_on = threading.Event(), threading.Event()

    @contextmanager
    def under_way(*saves):
        def save_slowly():
            with transaction.atomic():
                for save in saves:
                    save()
                saved.set()
                assert go_on.wait(PATIENCE)

        with beside(save_slowly):
            try:
                assert saved.wait(PATIENCE)
                yield
            finally:
                go_on.set()

    return under_way


@pytest.fixture
def no_waiting():
    """Fail where this connection would wait for a row that somebody else holds, and could so be in a deadlock."""
    waited = []

    def execute_and_note(execute, sql, params, many, context):
        try:
            return execute(sql, params, many, context)
        except OperationalError as error:
            waited.append((sql, error))
            raise

    with impatient(), connection.execute_wrapper(execute_and_note):
        yield
    assert waited == []


def test_save_that_stays_open_holds_up_no_other_event(clock, open_save, no_waiting):
    busy, *others = [book(clock) for _ in range(5)]

    with open_save(lambda: move(busy, clock.now() + HOUR)):
        assert event_processor.process_due_events()["events_processed"] == len(others)
    event_processor.process_due_events()

    assert {row(one).status for one in others} == {EventStatus.OCCURRED}
    assert (row(busy).status, row(busy).at) == (EventStatus.PENDING, clock.now() + HOUR)


def test_save_that_stays_open_holds_up_no_other_event_that_was_changed_unseen(clock, open_save, no_waiting):
    busy, other = book(clock), book(clock)
    Reservation.objects.update(status="pending")

    with open_save(lambda: move(busy, clock.now() + HOUR)):
        event_processor.process_due_events()
        assert row(other).why == "condition is false"
    event_processor.process_due_events()
    assert row(busy).at == clock.now() + HOUR


def test_row_that_is_held_is_looked_at_again_in_a_moment_and_not_at_once(clock, open_save, no_waiting):
    dispatcher = RecordingDispatcher()
    busy = book(clock)

    with wiring.override(dispatcher=dispatcher), open_save(lambda: move(busy, clock.now() + HOUR)):
        event_processor.process_due_events(using="default")
    assert dispatcher.hints == [clock.now() + timedelta(seconds=1)]


def test_save_that_stays_open_holds_up_no_other_call(clock, open_save, no_waiting):
    for name, minutes in (("early", -60), ("after", 60)):
        on_event("checkin_due", name=name, offset_minutes=minutes)(
            lambda event, name=name: Ledger.objects.create(entry=f"{name} {event.entity_id}")
        )
    over, busy, other = book(clock), book(clock, hours=2), book(clock, hours=2)
    event_processor.process_due_events()
    clock.advance(hours=1)

    with open_save(lambda: move(busy, clock.now() + 9 * HOUR), lambda: move(over, clock.now() + 9 * HOUR)):
        event_processor.process_due_events()
        made = set(Ledger.objects.values_list("entry", flat=True))
    event_processor.process_due_events()

    assert made == {f"early {over.pk}", f"early {other.pk}"}
    assert Ledger.objects.count() == len(made), "what was moved or superseded meanwhile is not called"


DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'",
}


@pytest.mark.skipif(connection.vendor not in DEADLOCK, reason="SQLite has one writer, and so no deadlocks")
def test_sync_that_loses_a_deadlock_begins_again(clock, monkeypatch):
    Reservation.objects.bulk_create([Reservation(checkin_at=clock.now() + HOUR)])
    carry_out, todo = syncing.carry_out, [1]

    def lose(*args, **kwargs):
        carry_out(*args, **kwargs)
        if todo:
            todo.pop()
            with connection.cursor() as cursor:
                cursor.execute(DEADLOCK[connection.vendor])

    monkeypatch.setattr(syncing, "carry_out", lose)
    assert Event.objects.sync(Reservation.objects.all()).created == 2
    assert Event.objects.count() == 2
