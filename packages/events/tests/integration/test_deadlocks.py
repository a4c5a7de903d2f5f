"""A deadlock that the user's code swallows. InnoDB ends one by rolling back all of a transaction, and goes on in a new.

What was written before is gone then, so what is written after it must not commit as if it were the whole.
"""

import threading
from contextlib import suppress

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from automation.events.callbacks import on_event
from automation.events.definitions import EventDefinition
from automation.events.models import Event, EventDelivery
from tests.hotel.models import Ledger, Plain, Reservation
from tests.processes import PATIENCE
from tests.troubles import beside, taken_back, waits_for_a_row

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer, and so no deadlocks"),
]


@pytest.fixture
def lose_a_deadlock():
    """Meet another transaction, lose, and swallow it; give what is to run beside."""
    mine, theirs = Plain.objects.create(name="mine"), Plain.objects.create(name="theirs")
    has_theirs, may_cross, lost = threading.Event(), threading.Event(), []

    def cross():
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL deadlock_timeout = '60s'")  # the other one looks first, and loses
            Plain.objects.bulk_create(Plain(name="weight") for _ in range(50))  # to InnoDB, the lighter one loses
            Plain.objects.filter(pk=theirs.pk).update(name="theirs crossed")
            has_theirs.set()
            assert may_cross.wait(PATIENCE)
            Plain.objects.filter(pk=mine.pk).update(name="mine crossed")

    def lose():
        Plain.objects.filter(pk=mine.pk).update(name="mine held")
        may_cross.set()
        waits_for_a_row()
        try:
            # A write would tell Django; a query does not.
            Plain.objects.select_for_update().get(pk=theirs.pk)
        except OperationalError as error:
            lost.append(error)

    with beside(cross):
        assert has_theirs.wait(PATIENCE)
        yield lose
        may_cross.set()
    assert len(lost) == 1, "there was no deadlock"


def test_callback_that_swallows_a_deadlock_commits_nothing_and_is_tried_again(lose_a_deadlock):
    todo = [lose_a_deadlock]

    @on_event("reservation_confirmed", name="two writes")
    def two_writes(event):
        Ledger.objects.create(entry="first")
        for act in todo:
            act()
        if connection.vendor == "mysql":
            Ledger.objects.create(entry="second")

    Reservation.objects.create(status="confirmed")

    call = EventDelivery.objects.get()
    assert not Ledger.objects.exists()
    assert (call.status, call.attempts, bool(call.error)) == ("pending", 1, True)


def test_callback_that_swallows_a_deadlock_at_its_end_is_not_complete(lose_a_deadlock):
    @on_event("reservation_confirmed", name="one write")
    def one_write(event):
        Ledger.objects.create(entry="first")
        lose_a_deadlock()

    Reservation.objects.create(status="confirmed")
    assert (Ledger.objects.exists(), EventDelivery.objects.get().status) == (False, "pending")


def test_condition_that_swallows_a_deadlock_leaves_the_save_whole_or_undone(lose_a_deadlock, deploy):
    todo = [lose_a_deadlock]

    def meets_another(reservation):
        for act in list(todo):
            todo.remove(act)
            act()
        return True

    deploy([EventDefinition("now", condition=meets_another)])

    def book():
        with transaction.atomic():
            Ledger.objects.create(entry="before")
            Reservation.objects.create(status="confirmed")
            Ledger.objects.create(entry="after")

    if connection.vendor == "mysql":
        with pytest.raises(DatabaseError):
            book()
        assert not any(model.objects.exists() for model in (Ledger, Reservation, Event))
        return
    book()
    assert (Ledger.objects.count(), Reservation.objects.count()) == (2, 1), "there it is undone to the savepoint"
    assert Event.objects.get().status == "occurred", "its condition was asked again"


def test_save_that_loses_a_deadlock_at_its_events_and_is_swallowed_lets_no_half_commit():
    reservation = Reservation.objects.create()

    def swallow():
        with transaction.atomic():
            Ledger.objects.create(entry="before")
            with suppress(OperationalError):
                reservation.save()
            Ledger.objects.create(entry="after")

    with (
        taken_back("deadlock", lambda sql, _: sql.startswith("SELECT") and "automation_events_event" in sql),
        pytest.raises(DatabaseError),
    ):
        swallow()
    assert not Ledger.objects.exists()
