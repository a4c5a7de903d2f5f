"""Bulk operations: sync, the tracking manager, the command."""

import os
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Count, QuerySet
from django.test.utils import CaptureQueriesContext

from automation.events.callbacks import on_event, on_event_cancelled
from automation.events.models import Event, EventStatus
from automation.events.services import event_processor
from tests.hotel.models import Alarm, Both, Crate, Dog, FirstParent, Ledger, Parcel, Plain, Reservation
from tests.undoing import rolled_back

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def make(clock, count, **values):
    values = {"status": "confirmed", "checkin_at": clock.now() + HOUR, **values}
    Reservation.objects.bulk_create([Reservation(**values) for _ in range(count)])


def run(*args, **options):
    out = StringIO()
    call_command("sync_events", *args, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def test_bulk_create_arms_nothing_until_synced(clock):
    make(clock, 3)
    assert not Event.objects.exists()
    report = Event.objects.sync(Reservation.objects.all())
    assert (report.entities, report.created) == (3, 6)
    assert Event.objects.filter(status=EventStatus.OCCURRED).count() == 3
    assert Event.objects.sync(Reservation.objects.all()).in_line


def test_sync_follows_dates_and_conditions(clock):
    make(clock, 3)
    Event.objects.sync(Reservation.objects.all())
    Reservation.objects.update(checkin_at=clock.now() + 5 * HOUR)
    report = Event.objects.sync(Reservation.objects.all())
    assert (report.created, report.changed) == (0, 3)
    assert set(Event.objects.filter(event_name="checkin_due").values_list("at", flat=True)) == {clock.now() + 5 * HOUR}


def test_dry_run_counts_and_changes_nothing(clock):
    make(clock, 2)
    assert Event.objects.sync(Reservation.objects.all(), dry_run=True).created == 4
    assert not Event.objects.exists()


def test_sync_tells_how_far_it_is(clock, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 2}
    make(clock, 5)
    told = []
    Event.objects.sync(Reservation.objects.all(), progress=told.append)
    assert told == [2, 2, 1]


def test_statements_of_a_sync_do_not_grow_with_its_rows(clock):
    def statements(count):
        make(clock, count, status="pending")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            Event.objects.sync(Reservation.objects.filter(pk__gt=Reservation.objects.order_by("-pk")[count - 1].pk - 1))
        return len([one for one in queries if "SAVEPOINT" not in one["sql"]])

    statements(1)
    assert statements(400) - statements(20) <= 2 * 400 // 40, "INSERTs come in batches of what the database takes"


@pytest.mark.parametrize("sliced", [True, False])
def test_sync_takes_any_queryset(clock, sliced):
    make(clock, 4)
    rows = Reservation.objects.order_by("-status", "checkin_at")
    report = Event.objects.sync(rows[:2] if sliced else rows.filter(guests__isnull=True))
    assert report.entities == (2 if sliced else 4)


def test_history_that_is_imported_expires_silently(clock):
    make(clock, 5, checkin_at=clock.now() - timedelta(days=300))
    run("hotel.Reservation")
    assert set(Event.objects.filter(event_name="checkin_due").values_list("status", flat=True)) == {"expired"}
    assert event_processor.process_due_events()["events_processed"] == 0


def test_command_syncs_every_model_and_shows_what_it_did(clock):
    make(clock, 2)
    out = run()
    assert "hotel.Reservation on default: 2 entities, 4 events created" in out
    assert "hotel.Reservation on default: would do: 2 entities, 0 events created" in run(dry_run=True)


def test_command_refuses_models_without_events():
    with pytest.raises(CommandError, match=r"declares no events\. Models that do: .*hotel\.Reservation"):
        run("hotel.Plain")
    with pytest.raises(CommandError, match="not an installed model"):
        run("no.Such")


def test_command_retires_events_of_entities_deleted_unseen(clock):
    Reservation.objects.create(checkin_at=clock.now() + HOUR)
    Reservation.objects.all()._raw_delete("default")
    assert "2 retired" in run("hotel.Reservation", dry_run=True)
    assert Event.objects.current().count() == 2
    assert "2 retired" in run("hotel.Reservation")
    assert set(Event.objects.values_list("status", "current_key")) == {("cancelled", None)}


def test_sync_of_child_tables_covers_the_parents_events(clock):
    from automation.events import muted

    with muted():
        Dog.objects.create(trained=True)
    Event.objects.sync(Dog.objects.all())
    assert Event.objects.count() == 3


def test_tracking_manager_keeps_events_right_under_bulk_operations(clock):
    on_event("parcel_heavy", name="heavy")(lambda event: Ledger.objects.create(entry=event.entity_id))
    parcels = Parcel.objects.bulk_create([Parcel(sent_at=clock.now() + HOUR) for _ in range(3)])
    assert Event.objects.filter(event_name="parcel_sent", status="pending").count() == 3
    for parcel in parcels:
        parcel.weight = 20
    Parcel.objects.bulk_update(parcels[:2], ["weight"])
    assert Ledger.objects.count() == 2
    Parcel.objects.filter(weight=1).update(weight=50, sent_at=None)
    assert Ledger.objects.count() == 3
    assert Event.objects.filter(event_name="parcel_sent", at=None).count() == 1
    Parcel.objects.all().delete()
    assert not Event.objects.current().exists()


def test_tracking_manager_rolls_back_with_its_operation(clock):

    with rolled_back():
        Parcel.objects.bulk_create([Parcel()])
    assert not Event.objects.exists()


def test_tracking_manager_finds_rows_whose_keys_it_is_not_given(clock):
    Parcel.objects.bulk_create([Parcel(), Parcel()], ignore_conflicts=True)
    assert Event.objects.current().count() == 4


def upserted(model, objs, *unique_fields, positional=False):
    """Insert what is new and weigh what is there; MySQL and MariaDB look at every unique key by themselves."""
    unique = [] if connection.vendor == "mysql" else list(unique_fields)
    if positional:
        return model.objects.bulk_create(objs, None, False, True, ["weight"], unique)
    return model.objects.bulk_create(objs, update_conflicts=True, update_fields=["weight"], unique_fields=unique)


@pytest.mark.parametrize("positional", [False, True])
def test_tracking_upsert_finds_the_row_that_has_another_key_than_the_object(clock, positional):
    """A key made in Python is not that of the row which the database found by its unique constraint and updated."""
    depot, elsewhere = Plain.objects.create(), Plain.objects.create()
    here = [Crate.objects.create(depot=depot, number=number) for number in (1, 2)]
    Crate.objects.create(depot=elsewhere, number=1)

    again = [Crate(depot=depot, number=number, weight=50) for number in (1, 3)]
    upserted(Crate, again, "depot", "number", positional=positional)

    heavy = Event.objects.filter(event_name="crate_heavy", status="occurred")
    assert set(heavy.values_list("entity_id", flat=True)) == {str(here[0].pk), str(again[1].pk)}
    assert Event.objects.count() == Crate.objects.count() == 4, "none is for an object that was never stored"


def test_tracking_upsert_finds_the_row_whose_key_it_is_not_given(clock, monkeypatch):
    """As on MySQL, which gives no keys back."""
    monkeypatch.setattr(type(connection.features), "can_return_rows_from_bulk_insert", False)
    Parcel.objects.bulk_create([Parcel(label="a"), Parcel(label="b")])

    upserted(Parcel, [Parcel(label=label, weight=50) for label in ("a", "c", None)], "label")

    heavy = Event.objects.filter(event_name="parcel_heavy", status="occurred")
    keys = [int(key) for key in heavy.values_list("entity_id", flat=True)]
    assert set(Parcel.objects.filter(pk__in=keys).values_list("label", flat=True)) == {"a", "c", None}
    assert len(keys) == 3


def test_progress_bar_shows_how_far_it_is():
    from django.core.management.base import OutputWrapper

    from automation.events.progress import Progress

    shown = StringIO()
    with Progress(OutputWrapper(shown), "hotel.Reservation", total=4, visible=True) as bar:
        bar.advance(1)
        bar.advance(3)
    assert "[#######.......................] 1/4" in shown.getvalue()
    assert "4/4" in shown.getvalue()


def test_adopting_the_package_on_a_table_that_is_already_there(clock):
    """Half of the dates are ahead, half are history; nothing occurs for what is past, and a second run does nothing."""
    count = 100_000 if os.environ.get("AUTOMATION_LONG") == "1" else 1_000
    Reservation.objects.bulk_create(
        [
            Reservation(checkin_at=clock.now() + timedelta(days=1 if number % 2 else -300 - number % 50))
            for number in range(count)
        ],
        batch_size=5_000,
    )
    run("hotel.Reservation")
    statuses = Event.objects.filter(event_name="checkin_due").values_list("status").annotate(Count("pk"))
    assert dict(statuses) == {"pending": count // 2, "expired": count // 2}
    assert f"{count} entities, 0 events created, 0 changed" in run("hotel.Reservation")
    assert event_processor.process_due_events()["events_processed"] == 0


def test_tracking_update_leaves_no_event_behind_that_came_to_match_meanwhile(clock, monkeypatch):
    """Whoever changes a row between the look and the write: it is either updated and synced, or neither."""
    parcel = Parcel.objects.create(weight=1, sent_at=clock.now() + HOUR)
    update, todo = QuerySet.update, [1]

    def late(self, **values):
        if todo:
            todo.pop()
            update(Parcel._base_manager.filter(pk=parcel.pk), weight=2)
        return update(self, **values)

    other = Parcel.objects.create(weight=2, sent_at=clock.now() + HOUR)
    monkeypatch.setattr(QuerySet, "update", late)
    Parcel.objects.filter(weight=2).update(sent_at=clock.now() + 5 * HOUR)
    for one in (parcel, other):
        one.refresh_from_db()
        assert Event.objects.for_entity(one).get(event_name="parcel_sent").at == one.sent_at


def test_tracking_update_of_many_is_one_transaction_in_batches(clock, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 2}
    Parcel.objects.bulk_create([Parcel(sent_at=clock.now() + HOUR) for _ in range(5)])
    assert Parcel.objects.update(sent_at=clock.now() + 2 * HOUR) == 5
    assert set(Event.objects.filter(event_name="parcel_sent").values_list("at")) == {(clock.now() + 2 * HOUR,)}


def test_tracking_delete_costs_by_the_batch_and_tells_of_each(clock):
    told = []
    on_event_cancelled("parcel_sent", name="torn")(lambda event: told.append((event.entity_id, event.entity.weight)))
    costs = []
    for count in (3, 30):
        parcels = Parcel.objects.bulk_create([Parcel(sent_at=clock.now() + HOUR, weight=7) for _ in range(count)])
        told.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("automation.events.inline._follow", lambda work: None)
            with CaptureQueriesContext(connection) as found:
                Parcel.objects.all().delete()
        costs.append(len(found))
        event_processor.process_due_events()
        assert sorted(told) == sorted((str(one.pk), 7) for one in parcels)
    assert costs[0] == costs[1]
    assert not Event.objects.current().exists()


def test_tracking_delete_that_is_rolled_back_leaves_everything(clock):
    parcel = Parcel.objects.create(sent_at=clock.now() + HOUR)
    with rolled_back():
        Parcel.objects.all().delete()
    assert Event.objects.current().filter(entity_id=str(parcel.pk)).count() == 2


def test_sync_of_a_child_of_two_tables_finds_the_rows_of_both(clock):
    FirstParent.objects.create()
    both = Both.objects.create()
    assert both.first_id != both.second_id
    assert Event.objects.sync(Both.objects.all()).in_line


def test_condition_that_turns_there_and_back_between_two_syncs_of_one_transaction_did_not_turn(clock):
    on_event("alarm_raised", name="book")(lambda event: Ledger.objects.create(entry="alarm"))
    Alarm.objects.create(level=9)
    with transaction.atomic():
        for level in (1, 9):
            Alarm.objects.update(level=level)
            Event.objects.sync(Alarm.objects.all())
    assert Ledger.objects.count() == 1
