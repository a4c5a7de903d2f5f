"""The connection cut at each statement in turn, and at each commit: nothing is lost, nothing is done twice."""

import os
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection

from automation.events.callbacks import on_event, on_event_cancelled
from automation.events.models import DeclarationState, Event, EventDelivery, EventStatus
from automation.events.services import event_processor
from tests.conftest import START
from tests.hotel.models import Ledger, Reservation

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
# Each place is tried in the long form. Otherwise some are, fewer where a server is to be asked.
STRIDE = 1 if os.environ.get("AUTOMATION_LONG") == "1" else 7 if connection.vendor == "sqlite" else 17


class Trouble:
    """Strikes once, at one place of those it is led past."""

    def __init__(self, at):
        self.at, self.passed, self.struck = at, 0, False

    def pass_by(self):
        """Cut the connection if this is the place."""
        self.passed += 1
        if self.passed == self.at:
            self.struck = True
            connection.errors_occurred = True
            cut()
            raise OperationalError("the connection was cut")


def cut():
    """Do what a cut connection does to an open transaction; SQLite has none to cut, and rolls back at an I/O error."""
    match connection.vendor:
        case "sqlite":
            connection.connection.rollback()
        case "mysql":
            killer = connection.copy()
            with killer.cursor() as cursor:
                cursor.execute("KILL %s", [connection.connection.thread_id()])
            killer.close()
        case _:
            connection.connection.close()


@contextmanager
def before_a_statement(trouble):
    def execute_or_not(execute, sql, params, many, context):
        trouble.pass_by()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(execute_or_not):
        yield


@contextmanager
def after_a_statement(trouble):
    def execute_and_lose(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        trouble.pass_by()
        return result

    with connection.execute_wrapper(execute_and_lose):
        yield


@contextmanager
def after_a_commit(trouble):
    commit = connection._commit

    def commit_and_lose():
        commit()
        trouble.pass_by()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "_commit", commit_and_lose)
        yield


@pytest.fixture(autouse=True)
def book(callbacks):
    for name, minutes in (("early", -60), ("at", 0), ("after", 60)):
        on_event("checkin_due", name=name, offset_minutes=minutes)(
            lambda event, name=name: Ledger.objects.create(entry=f"{name} {event.at.hour}")
        )
    on_event("reservation_confirmed", name="greet")(lambda event: Ledger.objects.create(entry="greet"))
    on_event_cancelled("checkin_due", name="torn")(lambda event: Ledger.objects.create(entry="torn"))


def insist(step):
    """Do what a user or a schedule would do: once more, after an error, with the connection of another request."""
    for _ in range(2):
        close_old_connections()
        with suppress(DatabaseError, InterfaceError):
            return step()
    close_old_connections()
    return step()


def story(clock):
    """One reservation that is made, moved and takes place; another that is made and deleted."""
    insist(lambda: make("stays", clock.now() + 3 * HOUR))
    insist(lambda: make("goes", clock.now() + 3 * HOUR))
    look_again_and_again(clock, minutes=6)  # whoever is deleted was greeted before, whatever had gone wrong
    insist(lambda: move("stays", START + 5 * HOUR))
    insist(Reservation.objects.filter(note="goes").delete)
    look_again_and_again(clock, hours=2)
    look_again_and_again(clock, minutes=10)


def look_again_and_again(clock, **pause):
    for _ in range(3):
        insist(process)
        clock.advance(**pause)


def make(note, moment):
    if not Reservation.objects.filter(note=note).exists():
        Reservation.objects.create(note=note, status="confirmed", checkin_at=moment)


def move(note, moment):
    reservation = Reservation.objects.get(note=note)
    reservation.checkin_at = moment
    reservation.save()


def process():
    event_processor.process_due_events(using="default")


def begin_anew():
    for model in (EventDelivery, Event, DeclarationState, Ledger, Reservation):
        model.objects.all()._raw_delete("default")


@pytest.mark.parametrize("place", [before_a_statement, after_a_statement, after_a_commit], ids=lambda one: one.__name__)
def test_error_anywhere_loses_nothing_and_does_nothing_twice(clock, place, settings):
    settings.AUTOMATION_EVENTS = {"INLINE_BUDGET": timedelta(days=1)}
    at, struck, stride = 1, True, max(1, STRIDE // 5) if place is after_a_commit else STRIDE
    while struck:
        clock.moment, trouble = START, Trouble(at)
        with place(trouble):
            story(clock)
        struck, at = trouble.struck, at + stride
        told = f"{place.__name__}, number {trouble.at}"
        made = Counter(Ledger.objects.values_list("entry", flat=True))
        assert made == Counter({"greet": 2, "torn": 1, "early 17": 1, "at 17": 1, "after 17": 1}), told
        assert set(EventDelivery.objects.exclude(status="cancelled").values_list("status")) == {("delivered",)}, told
        assert not Event.objects.filter(status=EventStatus.PENDING).exists(), told
        begin_anew()
    assert at > 10, "the story passes many such places"
