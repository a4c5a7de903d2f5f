"""More than one database."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from django.db.models.signals import post_save

from automation.events import databases, muted
from automation.events.callbacks import on_event
from automation.events.declaring import fingerprint
from automation.events.management.commands import process_events
from automation.events.models import DeclarationState, Event, EventDelivery
from automation.events.services import event_processor
from tests.doubles import RecordingSubscriber, subscribed
from tests.hotel.models import Badge, Ledger, Parcel, Plain, Reservation, Shift
from tests.undoing import rolled_back

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

HOUR = timedelta(hours=1)


def run(name, *args, **options):
    out = StringIO()
    call_command(name, *args, stdout=out, **options)
    return out.getvalue()


def test_rows_are_written_where_the_entity_is_saved(clock):
    reservation = Reservation(status="confirmed", checkin_at=clock.now() + HOUR)
    reservation.save(using="other")
    assert not Event.objects.exists()
    assert Event.objects.using("other").count() == 2
    event = Event.objects.for_entity(reservation).get(event_name="checkin_due")
    assert event._state.db == "other"
    assert event.entity == reservation
    assert event.is_valid


def test_what_is_asked_about_one_object_goes_to_its_own_database(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}
    healthy = False
    on_event("reservation_confirmed", name="bad")(lambda event: healthy or 1 / 0)
    reservation = Reservation()
    reservation.save(using="other")
    Reservation.objects.using("other").update(status="confirmed")
    assert Event.objects.recheck(reservation).changed == 2
    failed = EventDelivery.objects.using("other").failed()
    assert failed.get().callback == "bad"
    healthy = True
    assert failed.run_again() == 1
    event_processor.process_due_events()
    assert not failed.exists()


def test_bulk_operations_keep_events_right_where_they_are_made(clock):
    parcels = Parcel.objects.using("other")
    parcels.bulk_create([Parcel(pk=1, sent_at=clock.now() + HOUR)])
    parcels.update(sent_at=clock.now() + 2 * HOUR)
    sent = Event.objects.using("other").filter(at__isnull=False)
    assert set(sent.values_list("at", flat=True)) == {clock.now() + 2 * HOUR}
    assert not Event.objects.exists()


def test_rollback_of_one_database_leaves_the_other(clock):
    with rolled_back("other"):
        Reservation(status="confirmed").save(using="other")
        Reservation.objects.create()
    assert not Event.objects.using("other").exists()
    assert Event.objects.count() == 2


def test_receiver_that_raises_takes_the_row_with_it_where_that_is_saved():
    def refuse(**_):
        raise RuntimeError

    post_save.connect(refuse, sender=Reservation)
    try:
        with pytest.raises(RuntimeError):
            Reservation().save(using="other")
    finally:
        post_save.disconnect(refuse, sender=Reservation)
    assert not Reservation.objects.using("other").exists()


def test_every_database_with_the_tables_is_polled(clock):
    on_event("checkin_due", name="a")(lambda event: Ledger.objects.using("other").create(entry="a"))
    for alias in ("default", "other"):
        Reservation(status="confirmed", checkin_at=clock.now()).save(using=alias)
    assert event_processor.process_due_events(using="other")["events_processed"] == 1
    assert event_processor.process_due_events()["events_processed"] == 1
    assert Ledger.objects.using("other").count() == 2


def test_process_events_keeps_to_the_database_that_is_named(clock):
    for alias in ("default", "other"):
        Reservation(status="confirmed", checkin_at=clock.now()).save(using=alias)
    assert run("process_events", database="other").startswith("1 due, 1 occurred")
    assert Event.objects.get(event_name="checkin_due").status == "pending"


def test_loop_keeps_to_the_database_that_is_named(clock, monkeypatch):
    woken = []

    def once(process, next_due_at, **_):
        process()
        woken.append(next_due_at())

    monkeypatch.setattr(process_events, "run_loop", once)
    Reservation(status="confirmed", checkin_at=clock.now()).save(using="default")
    Reservation(status="confirmed", checkin_at=clock.now() + HOUR).save(using="other")
    run("process_events", "--loop", database="other")
    assert Event.objects.get(event_name="checkin_due").status == "pending"
    assert woken == [clock.now() + HOUR]


def test_cleaning_up_keeps_to_the_database_that_is_named(clock):
    for alias in ("default", "other"):
        reservation = Reservation(status="confirmed")
        reservation.save(using=alias)
        reservation.delete(using=alias)
    clock.advance(days=31)
    assert "2 old events deleted" in run("process_events", "--cleanup", database="other")
    assert Event.objects.count() == 2


def test_sync_events_keeps_to_the_database_that_is_named(clock):
    with muted():
        for alias in ("default", "other"):
            Reservation(checkin_at=clock.now() + HOUR).save(using=alias)
    run("sync_events", database="other")
    assert Event.objects.using("other").count() == 2
    assert not Event.objects.exists()


def test_databases_may_be_named(clock, settings):
    settings.AUTOMATION_EVENTS = {"DATABASES": ["other"]}
    Reservation(status="confirmed", checkin_at=clock.now()).save(using="default")
    assert event_processor.process_due_events()["events_processed"] == 0


def test_database_that_fails_does_not_stop_the_others(clock, settings, monkeypatch):
    settings.AUTOMATION_EVENTS = {"DATABASES": ["default", "other"]}
    Reservation(status="confirmed", checkin_at=clock.now()).save(using="other")
    from automation.events import services

    poll = services.poll

    def failing(*, using, stop):
        if using == "default":
            raise RuntimeError("down")
        return poll(using=using, stop=stop)

    monkeypatch.setattr(services, "poll", failing)
    with pytest.raises(RuntimeError, match="down"):
        event_processor.process_due_events()
    assert Event.objects.using("other").filter(status="occurred").count() == 2


def test_subscriber_on_another_database_is_told_by_deliveries_in_order(clock):
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        reservation = Reservation.objects.create(status="pending", checkin_at=clock.now() + HOUR)
        assert subscriber.heard == [] or subscriber.kinds()[0] == "armed"
        reservation.checkin_at += HOUR
        reservation.save()
        reservation.delete()
        event_processor.process_due_events()
    told = [(kind, one.event_name) for kind, ones in subscriber.heard for one in ones]
    of_checkin = [kind for kind, name in told if name == "checkin_due"]
    assert of_checkin == ["armed", "moved", "ended deleted"]
    assert not EventDelivery.objects.exclude(status="delivered").exists()


def test_erasing_empties_the_payload_on_its_way_to_another_database(clock):
    with subscribed(RecordingSubscriber(alias="other")):
        shift = Shift.objects.create(starts_at=clock.now(), staffed=True)
        event_processor.process_due_events()
    carried = EventDelivery.objects.filter(callback="recording")
    assert {"shift": shift.pk} in [one.data["payload"] for one in carried]
    run("automation_erase", "hotel.Shift", str(shift.pk))
    assert {str(one.data["payload"]) for one in carried.all()} == {"None"}


def test_change_for_another_database_waits_in_order_while_that_fails_however_often(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        healthy, armed = False, subscriber.armed

        def maybe(occurrences, *, using):
            if not healthy:
                raise RuntimeError
            armed(occurrences, using=using)

        subscriber.armed = maybe
        reservation = Reservation.objects.create(status="pending", checkin_at=clock.now() + HOUR)
        reservation.checkin_at += HOUR
        reservation.save()
        assert subscriber.heard == [], "a later change does not overtake one that failed"
        healthy = True
        clock.advance(minutes=10)
        event_processor.process_due_events()
        event_processor.process_due_events()
    told = [kind for kind, ones in subscriber.heard for one in ones if one.event_name == "checkin_due"]
    assert told == ["armed", "moved"]


def test_subscriber_that_is_gone_parks_its_changes(clock):
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        subscriber.armed = lambda *_, **__: 1 / 0
        Reservation.objects.create()
    clock.advance(hours=1)
    event_processor.process_due_events()
    assert set(EventDelivery.objects.values_list("status", flat=True)) == {"parked"}


def test_change_for_another_database_does_not_overtake_one_that_is_parked(clock):
    """The first was met by a process that does not have the subscriber; the one that moves the date has it."""
    with subscribed(RecordingSubscriber(alias="other")) as subscriber:
        subscriber.armed, armed = lambda *_, **__: 1 / 0, subscriber.armed
        reservation = Reservation.objects.create(checkin_at=clock.now() + 5 * HOUR)
        of_checkin = EventDelivery.objects.filter(event__event_name="checkin_due")
        assert of_checkin.update(status="parked", next_at=clock.now() + HOUR) == 1
        subscriber.armed = armed
        reservation.checkin_at += HOUR
        reservation.save()
        clock.advance(hours=2)
        event_processor.process_due_events()
        event_processor.process_due_events()
    told = [kind for kind, ones in subscriber.heard for one in ones if one.event_name == "checkin_due"]
    assert told == ["armed", "moved"]


def test_database_that_cannot_be_reached_does_not_stop_the_others(clock, monkeypatch):
    book = Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    databases._known.clear()

    def fail(*_, **__):
        raise OperationalError("down")

    monkeypatch.setattr(connections["other"].introspection, "table_names", fail)
    with pytest.raises(OperationalError, match="down"):
        event_processor.process_due_events()
    assert Event.objects.for_entity(book).get(event_name="checkin_due").status == "occurred"


class ReservationsAtHome:
    """Reservations are stored on `default` only, the tables of events on both."""

    def allow_migrate(self, db, app_label, model_name=None, **_):
        return db == "default" if model_name == "reservation" else None


@pytest.fixture
def reservations_at_home(settings):
    settings.DATABASE_ROUTERS = [ReservationsAtHome()]
    with connections["other"].cursor() as cursor:
        cursor.execute("ALTER TABLE hotel_reservation RENAME TO hotel_elsewhere")
    yield
    with connections["other"].cursor() as cursor:
        cursor.execute("ALTER TABLE hotel_elsewhere RENAME TO hotel_reservation")


def test_sync_events_leaves_out_models_that_a_database_does_not_have(reservations_at_home):
    out = StringIO()
    call_command("sync_events", stdout=out)
    assert "hotel.Reservation on default" in out.getvalue()
    assert "hotel.Reservation on other" not in out.getvalue()


def test_catching_up_leaves_out_models_that_a_database_does_not_have(clock, reservations_at_home):
    event_processor.process_due_events()
    on_event("checkin_due", name="early", offset_minutes=-60)(lambda event: None)
    event_processor.process_due_events()
    assert DeclarationState.objects.using("other").get().fingerprint == fingerprint()


class ReadFromReplica:
    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, *_, **hints):
        return True


def test_sync_reads_and_writes_where_the_model_is_written(settings):
    settings.DATABASE_ROUTERS = [ReadFromReplica()]
    Reservation.objects.bulk_create([Reservation(status="confirmed")])
    assert Event.objects.sync(Reservation.objects.all()).created == 2
    assert Event.objects.using("default").count() == 2
    assert not Event.objects.using("other").exists()


def test_condition_may_ask_another_database(clock):
    Plain.objects.using("other").create(name="listed")
    badges = [Badge.objects.create(name=name, at=clock.now() + HOUR) for name in ("listed", "unlisted")]
    assert [one.is_valid for one in Event.objects.for_entity(badges[0])] == [True, True]
    clock.advance(hours=1)
    event_processor.process_due_events()
    occurred = Event.objects.filter(status="occurred").values_list("event_name", "entity_id")
    listed = str(badges[0].pk)
    assert sorted(occurred) == [("badge_due", listed), ("badge_listed", listed)]


def test_condition_that_fails_on_another_database_is_parked_and_harms_no_save(clock):
    with transaction.atomic(), transaction.atomic(using="other"):
        badge = Badge.objects.create(name="wrong", at=clock.now())
        Plain.objects.using("other").create(name="kept")
    event_processor.process_due_events()
    assert Plain.objects.using("other").get().name == "kept"
    for event in Event.objects.for_entity(badge):
        assert event.status == "pending"
        assert "no_such_column" in event.error
