"""What saves, occurrences and polls cost in statements, whatever the number of definitions."""

from datetime import timedelta

import pytest
from django.db import connection, transaction

from automation.events import keys
from automation.events.callbacks import on_event
from automation.events.models import Event, EventDelivery
from automation.events.services import event_processor
from tests.conftest import START
from tests.counting import counted
from tests.hotel.models import Plain, Reservation, Wide1, Wide5, Wide20

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
EVENTS = ("automation_events_",)
wide = pytest.mark.parametrize("model", [Wide1, Wide5, Wide20], ids=["1", "5", "20"])


def ours(found):
    return len(found.on(*EVENTS))


@wide
def test_insert_costs_one_statement(model, clock):
    with counted() as found:
        model.objects.create(at=clock.now() + HOUR)
    assert (ours(found), len(found)) == (1, 2)


@wide
def test_save_with_nothing_changed_costs_one(model, clock):
    obj = model.objects.create(at=clock.now() + HOUR)
    with counted() as found:
        obj.save()
    assert (ours(found), len(found)) == (1, 2)


@wide
def test_save_that_changes_dates_or_conditions_costs_two(model, clock):
    obj = model.objects.create(at=clock.now() + HOUR)
    for values in ({"at": clock.now() + 2 * HOUR}, {"at": None}, {"at": clock.now() + HOUR}):
        vars(obj).update(values)
        with counted() as found:
            obj.save()
        assert (ours(found), len(found)) == (2, 3)
    obj.flag = True
    with transaction.atomic(), counted() as found:
        obj.save()
    assert (ours(found), len(found)) == (2, 3)


@wide
def test_save_that_arms_a_new_generation_costs_three(model, clock):
    obj = model.objects.create(at=clock.now(), flag=True)
    event_processor.process_due_events()
    obj.at = clock.now() + HOUR
    with counted() as found:
        obj.save()
    assert ours(found) == 3


@wide
def test_partial_save_costs_one_more_for_reading_back(model, clock):
    obj = model.objects.create(at=clock.now() + HOUR)
    with counted() as found:
        obj.save(update_fields=["at"])
    assert len(found) == 3


def test_model_without_definitions_pays_nothing():
    with counted() as found:
        plain = Plain.objects.create(name="x")
        plain.save()
        plain.delete()
    assert ours(found) == 0
    assert not any("SAVEPOINT" in sql for sql in found.statements)


@pytest.mark.parametrize("callbacks_of_it", [0, 1, 3])
def test_occurrence_costs_four_and_two_for_each_callback(callbacks_of_it, clock):
    for number in range(callbacks_of_it):
        on_event("reservation_confirmed", name=f"callback {number}")(lambda event: None)
    with counted() as found:
        Reservation.objects.create(status="confirmed")
    save = 2
    assert len(found) - save <= 4 + 2 * callbacks_of_it


@pytest.mark.parametrize("model", [Wide5, Wide20], ids=["5", "20"])
def test_occurrence_costs_the_same_whatever_the_number_of_definitions(model, clock):
    """All of its immediate events occur at one commit; one of them has callbacks."""
    for number in range(3):
        on_event("wide_now_0", model._meta.label_lower, name=f"callback {number}")(lambda event: None)
    with counted() as found:
        model.objects.create(flag=True)
    save = 2
    assert len(found) - save <= 4 + 2 * 3
    assert EventDelivery.objects.filter(status="delivered").count() == 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="plans are looked at on PostgreSQL")
def test_due_calls_are_found_by_the_index_beside_many_that_are_settled(clock):
    event = Event.objects.for_entity(Reservation.objects.create()).first()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO automation_events_eventdelivery (id, event_id, key, callback, phase, generation, sequence,"
            ' "offset", background, due_at, next_at, status, attempts, why, error, created_at)'
            " SELECT gen_random_uuid(), %s, md5(n::text), 'a', 'occurred', 1, 1, interval '0', false, %s,"
            " CASE WHEN n <= 100 THEN %s ELSE NULL END::timestamptz,"
            " CASE WHEN n <= 100 THEN 'pending' ELSE 'delivered' END, 1, '', '', %s"
            " FROM generate_series(1, 50000) AS n",
            [event.pk, clock.now(), clock.now(), clock.now()],
        )
        cursor.execute("ANALYZE automation_events_eventdelivery")
    due = EventDelivery.objects.filter(status="pending", next_at__lte=clock.now()).order_by("next_at", "id")
    plan = due[:500].explain()
    assert "automation_delivery_due" in plan, plan
    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("callbacks_of_it", [1, 3])
def test_deliveries_of_a_save_are_one_statement(callbacks_of_it, clock):
    for number in range(callbacks_of_it):
        on_event("checkin_due", name=f"callback {number}", offset_minutes=-number - 1)(lambda event: None)
    with counted() as found:
        reservation = Reservation.objects.create(checkin_at=clock.now() + HOUR)
    assert len(found.on("eventdelivery")) == 1
    reservation.checkin_at += HOUR
    with counted() as found:
        reservation.save()
    assert len(found.on("eventdelivery")) == 1
    with counted() as found:
        reservation.checkin_at = None
        reservation.save()
    assert len(found.on("eventdelivery")) == 1


def fill(model, name, count, at):
    """Insert entities with rows of one event, as a save would have made them."""
    objects = model.objects.bulk_create([model(at=at, flag=True) for _ in range(count)], batch_size=2000)
    label = model._meta.label_lower
    Event.objects.bulk_create(
        [
            Event(
                event_name=name,
                entity_type=label,
                entity_id=str(one.pk),
                current_key=keys.current_key(label, str(one.pk), name),
                at=at,
                next_at=at,
                condition_held=True,
                created_at=at,
                updated_at=at,
            )
            for one in objects
        ],
        batch_size=2000,
    )


def fill_pending(count, at):
    """Insert rows of events that lie far ahead; nobody looks at their entities."""
    if connection.vendor != "postgresql":
        fill(Wide5, "wide_1", count, at)
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO automation_events_event (id, event_name, entity_type, entity_id, current_key, generation,"
            " revision, status, at, next_at, condition_held, why, error, created_at, updated_at)"
            " SELECT gen_random_uuid(), 'wide_1', 'hotel.wide5', n::text, md5(n::text), 1,"
            " 1, 'pending', %s, %s, true, '', '', %s, %s FROM generate_series(1, %s) AS n",
            [at, at, at, at, count],
        )
        cursor.execute("ANALYZE automation_events_event")


def statements_of_a_poll(clock):
    event_processor.process_due_events()
    fill(Wide5, "wide_0", 100, clock.now())
    with counted() as found:
        report = event_processor.process_due_events()
    assert report["events_processed"] == 100
    return len(found)


def test_poll_costs_what_is_due_not_what_is_pending(clock):
    """With 100 due: as many statements beside 100,000 pending as beside none, and a plan that reads the due only."""
    few = statements_of_a_poll(clock)
    fill_pending(100_000 if connection.vendor == "postgresql" else 5_000, clock.now() + 100 * HOUR)
    assert statements_of_a_poll(clock) == few
    assert few <= 10 + 6
    if connection.vendor == "postgresql":
        plan = Event.objects.due(clock.now())[:500].explain()
        assert "automation_event_due" in plan, plan
        assert "Seq Scan" not in plan, plan


def fill_history(count):
    """Insert rows of events that have occurred, each with a call that was made."""
    past = START - 100 * HOUR
    label = Wide5._meta.label_lower
    events = [
        Event(
            event_name="wide_1",
            entity_type=label,
            entity_id=str(number),
            current_key=keys.current_key(label, str(number), "wide_1"),
            status="occurred",
            at=past,
            occurred_at=past,
            settled_at=past,
            created_at=past,
            updated_at=past,
        )
        for number in range(-count, 0)
    ]
    Event.objects.bulk_create(events, batch_size=2000)
    calls = [
        EventDelivery(
            event=event,
            key=f"made {event.entity_id}",
            callback="made",
            phase="occurred",
            offset=timedelta(0),
            due_at=past,
            status="delivered",
            attempts=1,
            created_at=past,
            finished_at=past,
        )
        for event in events
    ]
    EventDelivery.objects.bulk_create(calls, batch_size=2000)


def test_poll_costs_the_same_beside_much_history(clock):
    """As many statements beside many settled rows as beside none, and not one of them reads through the history."""
    on_event("wide_0", Wide5._meta.label_lower, name="seen")(lambda event: None)
    few = statements_of_a_poll(clock)
    fill_history(20_000 if connection.vendor == "postgresql" else 2_000)
    assert statements_of_a_poll(clock) == few
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE automation_events_event, automation_events_eventdelivery")
            fill(Wide5, "wide_0", 10, clock.now())
            with counted() as found:
                event_processor.process_due_events()
            for sql in found.on("automation_events_event"):
                if sql.startswith(("SELECT", "UPDATE")):
                    cursor.execute(f"EXPLAIN {sql}")
                    plan = "\n".join(line for (line,) in cursor.fetchall())
                    assert "Seq Scan on automation_events_event" not in plan, f"{sql}\n{plan}"


def test_poll_of_many_due_stays_within_its_budget(clock):
    event_processor.process_due_events()
    fill(Wide5, "wide_0", 1_200, clock.now())
    with counted() as found:
        report = event_processor.process_due_events()
    assert report["events_processed"] == 1_200
    assert len(found) <= 10 + 3 * 6


def test_idle_poll_is_cheap(clock):
    event_processor.process_due_events()
    with counted() as found:
        event_processor.process_due_events()
    assert len(found) <= 6
