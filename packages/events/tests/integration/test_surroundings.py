"""What a project may have around the package: a replica that lags, autocommit switched off, data migrations."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.db import OperationalError, connection, connections, transaction
from django.db.migrations.state import ProjectState

from automation.events import inline
from automation.events.callbacks import on_event
from automation.events.lifecycle.status import DeliveryStatus
from automation.events.models import Event, EventDelivery
from automation.events.services import event_processor
from tests.hotel.models import Ledger, Letter, Reservation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

HOUR = timedelta(hours=1)


class EmptyReplica:
    """A router that sends reads to a replica which has not received anything yet."""

    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, *_, **hints):
        return True


def test_a_replica_that_lags_decides_nothing(clock, settings):
    settings.DATABASE_ROUTERS = [EmptyReplica()]
    on_event("checkin_due", name="a")(lambda event: Ledger.objects.create(entry=f"due {event.entity.note}"))
    on_event("reservation_confirmed", name="b")(lambda event: Ledger.objects.create(entry="confirmed"))
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + HOUR, note="early")

    reservation.checkin_at += HOUR
    reservation.note = "moved"
    reservation.save()
    clock.advance(hours=1)
    event_processor.process_due_events()
    assert list(Ledger.objects.using("default").values_list("entry", flat=True)) == ["confirmed"]

    clock.advance(hours=1)
    event_processor.process_due_events()
    entries = Ledger.objects.using("default").order_by("pk").values_list("entry", flat=True)
    assert list(entries) == ["confirmed", "due moved"]
    assert not Event.objects.using("other").exists()


def test_with_autocommit_off_the_event_shares_the_fate_of_its_save(clock):
    on_event("reservation_confirmed", name="a")(lambda event: Ledger.objects.create(entry="confirmed"))
    transaction.set_autocommit(False)
    try:
        Reservation.objects.create(status="confirmed")
        transaction.rollback()
        # SQLite commits at Django's savepoints in this mode, and then both are there.
        kept = Reservation.objects.count()
        assert Event.objects.filter(event_name="reservation_confirmed").count() == kept
        assert kept == (connection.vendor == "sqlite")
        Reservation.objects.create(status="confirmed")
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    event_processor.process_due_events()
    assert Ledger.objects.filter(entry="confirmed").count() == kept + 1


def leave_autocommit_off():
    transaction.set_autocommit(False)


def leave_a_transaction_open():
    transaction.atomic().__enter__()


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize(
    ("atomic", "leave"),
    [(False, leave_autocommit_off), (False, leave_a_transaction_open), (True, leave_a_transaction_open)],
)
def test_what_a_callback_leaves_open_harms_neither_other_calls_nor_the_saver(clock, leave, atomic, raises):
    """Whatever its process stores from then on would be part of that transaction, which nobody commits."""

    @on_event("reservation_confirmed", name="a", atomic=atomic)
    def careless(event):
        Ledger.objects.create(entry="before")
        leave()
        Ledger.objects.create(entry="within")
        if raises:
            raise RuntimeError("on its way out")

    on_event("reservation_confirmed", name="b")(lambda event: Ledger.objects.create(entry="bystander"))
    Reservation.objects.create(status="confirmed")
    Ledger.objects.create(entry="the saver's next")
    assert (connection.get_autocommit(), connection.in_atomic_block) == (True, False)
    connection.close()

    assert set(Ledger.objects.values_list("entry", flat=True)) == {"bystander", "the saver's next"} | (
        set() if atomic else {"before"}
    )
    left, other = EventDelivery.objects.order_by("callback")
    says = "RuntimeError: on its way out" if raises else "CallbackError: Database 'default' was left in a transaction"
    assert (left.status, other.status) == (DeliveryStatus.PENDING, DeliveryStatus.DELIVERED)
    assert says in left.error


@pytest.mark.parametrize("leave", [leave_autocommit_off, leave_a_transaction_open])
def test_what_a_callback_leaves_open_at_another_database_is_ended_there(clock, leave):
    """Its first statement there opens a savepoint of ours, where the saver has a transaction."""

    @on_event("reservation_confirmed", name="a")
    def careless(event):
        Ledger.objects.using("other").create(entry="before")
        if leave is leave_a_transaction_open:
            transaction.atomic(using="other").__enter__()
        elif not connections["other"].in_atomic_block:
            transaction.set_autocommit(False, using="other")

    with transaction.atomic(using="other"):
        Reservation.objects.create(status="confirmed")
        Ledger.objects.using("other").create(entry="the saver's")
    Reservation.objects.create(status="confirmed")

    assert (connections["other"].get_autocommit(), connections["other"].in_atomic_block) == (True, False)
    assert "the saver's" in Ledger.objects.using("other").values_list("entry", flat=True)


def test_work_after_a_commit_that_fails_reaches_neither_the_saver_nor_the_hooks_of_others(clock, monkeypatch, caplog):
    """The database goes away just then: the save is stored, and the processor will see to the rest."""

    def refused() -> None:
        raise OperationalError("the connection broke")

    done: list[str] = []
    monkeypatch.setattr(inline, "_drain", refused)
    with transaction.atomic():
        Reservation.objects.create(status="confirmed")
        transaction.on_commit(lambda: done.append("the project's own"))

    assert done == ["the project's own"]
    assert "the connection broke" in caplog.text


@pytest.mark.parametrize("model", [Reservation, Letter], ids=["its own list", "the list of a mixin"])
def test_a_data_migration_saves_without_events(model):
    historical = ProjectState.from_apps(apps).apps.get_model("hotel", model.__name__)
    assert historical is not model
    historical.objects.create()
    assert model.objects.count() == 1
    assert not Event.objects.exists()
    model.objects.create()
    assert Event.objects.exists()
