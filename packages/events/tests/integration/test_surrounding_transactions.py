"""Code of users that fails at a database of which its event knows nothing, inside a transaction that is open there."""

import pytest
from django.db import connection, connections, transaction

from automation.events.callbacks import on_event
from automation.events.definitions import EventDefinition
from automation.events.models import Event, EventDelivery
from tests.hotel.models import Plain, Reservation

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def second():
    """A second alias, on a database of the same kind: PostgreSQL alone aborts a transaction for a failed statement."""
    usual = connections["other"]
    if connection.vendor == "sqlite":
        yield usual.alias  # a second connection to one file would wait for the first
        return
    connections["other"] = twin = connection.copy("other")
    yield twin.alias
    twin.close()
    connections["other"] = usual


def fail_at(alias):
    """Write half of something, then ask what the database refuses."""
    Plain.objects.using(alias).create(name="half")
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM hotel_plain")


def fails_at(alias):
    return lambda _: fail_at(alias)


def names_at(alias):
    return sorted(Plain.objects.using(alias).values_list("name", flat=True))


@pytest.mark.parametrize("asks", ["condition", "payload"])
def test_definition_that_fails_at_another_database_harms_no_transaction_there(second, deploy, asks):
    deploy([EventDefinition("now", **{asks: fails_at(second)})])

    with transaction.atomic(using=second):
        Plain.objects.using(second).create(name="before")
        with transaction.atomic():
            Reservation.objects.create()
        Plain.objects.using(second).create(name="after")

    assert names_at(second) == ["after", "before"]
    event = Event.objects.get()
    assert (event.status, "no_such_column" in event.error) == ("pending", True)


@pytest.mark.parametrize("atomic", [True, False])
def test_callback_that_fails_at_another_database_harms_no_transaction_there(second, atomic):
    on_event("reservation_confirmed", name="fails", atomic=atomic)(fails_at(second))
    on_event("reservation_confirmed", name="writes", atomic=atomic)(
        lambda event: Plain.objects.using(second).create(name="called")
    )

    with transaction.atomic(using=second):
        Plain.objects.using(second).create(name="before")
        Reservation.objects.create(status="confirmed")
        Plain.objects.using(second).create(name="after")

    assert names_at(second) == ["after", "before", "called"]
    failed = EventDelivery.objects.get(callback="fails")
    assert (failed.status, "no_such_column" in failed.error) == ("pending", True)


def test_validity_is_asked_without_harm_to_another_database(second, deploy):
    deploy([EventDefinition("now", condition=fails_at(second))])
    Reservation.objects.create()
    with transaction.atomic(using=second):
        assert not Event.objects.get().is_valid
        Plain.objects.using(second).create(name="after")
    assert "after" in names_at(second)


def test_code_that_asks_nothing_there_costs_the_other_database_nothing(second, deploy):
    deploy([EventDefinition("now", condition=lambda r: Plain.objects.filter(name=r.status).exists())])
    statements = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    with transaction.atomic(using=second), connections[second].execute_wrapper(note):
        Reservation.objects.create(status="confirmed")
    assert statements == []
