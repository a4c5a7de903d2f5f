"""All the ways to declare, and all kinds of keys."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction

from automation.events import muted
from automation.events.callbacks import on_event, on_event_cancelled
from automation.events.models import Event, EventDelivery, EventStatus
from automation.events.services import event_processor
from tests.counting import counted
from tests.hotel.models import (
    Alarm,
    Animal,
    Annexe,
    Concert,
    Country,
    Document,
    Dog,
    Ledger,
    LoudDog,
    Meeting,
    Note,
    Plain,
    Reservation,
    Season,
    Silent,
    Tariff,
    TariffNote,
    Task,
    Visit,
    Ward,
)

pytestmark = pytest.mark.django_db(transaction=True)


def names(obj):
    return sorted(event.event_name for event in Event.objects.for_entity(obj))


def test_abstract_base_declares_for_its_models():
    assert names(Task.objects.create()) == ["timed_due"]
    assert names(Meeting.objects.create()) == ["meeting_planned", "timed_due"]
    assert names(Silent.objects.create()) == []


def test_child_table_is_stored_under_the_model_that_declares():
    dog = Dog.objects.create(trained=True)
    rows = {event.event_name: event.entity_type for event in Event.objects.for_entity(dog)}
    assert rows == {"animal_fed": "hotel.animal", "animal_seen": "hotel.animal", "dog_trained": "hotel.dog"}
    assert type(Event.objects.get(event_name="animal_seen").entity) is Animal
    assert Event.objects.get(event_name="dog_trained").status == EventStatus.OCCURRED


def test_one_row_whether_it_is_saved_as_child_or_as_parent(clock):
    dog = Dog.objects.create(fed_at=clock.now() + timedelta(hours=1))
    animal = Animal.objects.get(pk=dog.pk)
    animal.fed_at = clock.now() + timedelta(hours=2)
    animal.save()
    event = Event.objects.get(event_name="animal_fed")
    assert event.at == animal.fed_at


def test_child_saved_onto_a_parent_that_was_there_leaves_the_parents_events_alone(clock):
    on_event(name="seen")(lambda event: Ledger.objects.create(entry=event.event_name))
    on_event_cancelled(name="cancelled")(lambda event: Ledger.objects.create(entry=f"{event.event_name} cancelled"))
    animal = Animal.objects.create(name="rex", fed_at=clock.now() + timedelta(hours=1))

    dog = Dog(animal_ptr=animal, name="rex", fed_at=clock.now() + timedelta(hours=2), trained=True)
    dog.save()

    assert sorted(Ledger.objects.values_list("entry", flat=True)) == ["animal_seen", "dog_trained"]
    assert Event.objects.get(event_name="animal_fed").at == dog.fed_at
    assert Event.objects.count() == 3


@pytest.mark.parametrize("gone", [[Dog], [Dog, Animal]], ids=["only the child's table", "both tables"])
def test_child_whose_key_was_used_before_starts_afresh_where_its_rows_were_gone(clock, gone):
    dog = Dog.objects.create(trained=True)
    for model in gone:
        model.objects.all()._raw_delete("default")

    Dog(pk=dog.pk, animal_ptr_id=dog.pk, trained=True).save()

    occurred = Event.objects.filter(status=EventStatus.OCCURRED)
    assert occurred.filter(event_name="dog_trained").count() == 2
    assert occurred.filter(event_name="animal_seen").count() == len(gone)


def test_new_child_costs_one_statement_for_its_events(clock):
    with counted() as found:
        Dog.objects.create(fed_at=clock.now() + timedelta(hours=1), trained=False)
    assert len([sql for sql in found.on("automation_events_event") if sql.startswith("INSERT")]) == 1
    with transaction.atomic(), counted() as found:
        Dog.objects.create()
    assert len(found.on("automation_events_event")) == 1


def test_proxy_declares_under_its_concrete_model_and_keeps_its_methods():
    loud = LoudDog.objects.create(name="REX")
    event = Event.objects.get(event_name="barked")
    assert (event.entity_type, event.status) == ("hotel.dog", EventStatus.OCCURRED)
    assert type(event.entity) is LoudDog
    assert names(loud) == ["animal_fed", "animal_seen", "barked", "dog_trained"]


def test_rows_of_a_proxy_follow_saves_of_its_table_and_are_not_made_by_them():
    loud = LoudDog.objects.create(name="rex")
    Dog.objects.create(name="FIDO")
    assert Event.objects.filter(event_name="barked").count() == 1
    dog = Dog.objects.get(pk=loud.pk)
    dog.name = "REX"
    dog.save()
    assert Event.objects.get(event_name="barked").status == EventStatus.OCCURRED


def test_deleting_a_child_retires_the_rows_of_both_tables(clock):
    Dog.objects.create(fed_at=clock.now() + timedelta(hours=1)).delete()
    assert not Event.objects.current().exists()


def test_deleting_a_child_only_keeps_the_parents_events(clock):
    dog = Dog.objects.create(fed_at=clock.now() + timedelta(hours=1))
    dog.delete(keep_parents=True)
    assert sorted(Event.objects.current().values_list("event_name", flat=True)) == ["animal_fed", "animal_seen"]


@pytest.mark.parametrize(
    "make",
    [lambda: Document.objects.create(signed=True), lambda: Country.objects.create(code="NL")],
    ids=["uuid", "text"],
)
def test_any_kind_of_key(make):
    obj = make()
    event = Event.objects.for_entity(obj).get()
    assert event.entity_id == str(obj.pk)
    assert event.entity == obj
    obj.delete()
    assert Event.objects.get().current_key is None


def test_keys_that_differ_in_case_only_are_different_entities(clock):
    """MariaDB's default collation calls 'nl' and 'NL' equal; the key that makes rows unique is a hash."""
    for code in ("nl", "NL"):
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute("DELETE FROM hotel_country")
        Country.objects.create(code=code)
    assert Event.objects.current().count() == 2


@pytest.mark.parametrize("rate", [3, "1.5", 2.5, Decimal("7.000"), Decimal("1E+2")], ids=str)
def test_a_decimal_key_however_it_is_written(rate):
    """The database gives it back with all its places: what looks for "3" must find the row with 3.00."""
    tariff = Tariff(rate=rate)
    tariff.save()
    published, withdrawn = Event.objects.for_entity(tariff).order_by("event_name")
    assert (published.status, published.entity) == (EventStatus.OCCURRED, Tariff.objects.get())
    assert withdrawn.status == EventStatus.PENDING

    Tariff.objects.get().save()
    Event.objects.sync(Tariff.objects.all())
    assert Event.objects.current().count() == 2

    Tariff.objects.update(withdrawn=True)
    assert Event.objects.get(pk=withdrawn.pk).status == EventStatus.OCCURRED

    TariffNote.objects.create(pk=rate)
    assert Event.objects.get(event_name="tariff_explained").status == EventStatus.OCCURRED

    Tariff(rate=rate).delete()
    assert not Event.objects.current().exists()


def test_decimal_keys_inserted_in_bulk():
    Tariff.objects.bulk_create([Tariff(rate=3), Tariff(rate="1.5")])
    assert list(Event.objects.filter(event_name="tariff_published").values_list("status", flat=True)) == [
        EventStatus.OCCURRED,
        EventStatus.OCCURRED,
    ]


def test_a_key_that_is_a_time_is_one_key_in_every_zone():
    begins_at = datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    Season(begins_at=begins_at).save()
    assert Event.objects.get().status == EventStatus.OCCURRED

    Season(begins_at=begins_at.astimezone(UTC)).save()
    Season.objects.bulk_create([Season(begins_at=begins_at + timedelta(days=1))])
    assert Event.objects.current().filter(status=EventStatus.OCCURRED).count() == 2


def test_one_key_however_it_is_written():
    document = Document(id="0123456789ab4def8123456789abcdef", signed=True)
    document.save()
    event = Event.objects.for_entity(document).get()
    assert event.entity_id == "01234567-89ab-4def-8123-456789abcdef"
    assert event.status == EventStatus.OCCURRED
    document.save()
    Document.objects.get().save()
    assert Event.objects.count() == 1
    document.delete()
    assert not Event.objects.current().exists()


def test_soft_delete_manager_does_not_hide_the_entity():
    note = Note.objects.create()
    note.deleted = True
    note.save()
    event = Event.objects.for_entity(note).get()
    assert event.status == EventStatus.OCCURRED
    assert event.entity == note


def test_model_without_a_manager_called_objects_is_like_any_other(clock):
    ward = Ward.everything.create(opens_at=clock.now() + timedelta(hours=1))
    Ward.everything.filter(pk=ward.pk).update(open=True)
    call_command("sync_events", "hotel.Ward", stdout=StringIO())
    assert Event.objects.for_entity(ward).get(event_name="ward_opened").status == EventStatus.OCCURRED
    assert [one.is_valid for one in Event.objects.for_entity(ward)] == [True, True]
    Event.objects.recheck(ward)
    Event.objects.sync(Ward.everything.all())

    event_processor.process_due_events()
    Ward.everything.bulk_create([Ward(opens_at=ward.opens_at)])
    on_event("ward_opens", name="early", offset_minutes=-30)(lambda event: None)
    event_processor.process_due_events()
    assert EventDelivery.objects.filter(callback="early").count() == 2, "a deploy is caught up on"
    call_command("automation_erase", "hotel.Ward", str(ward.pk), stdout=StringIO())
    clock.advance(hours=1)
    assert event_processor.process_due_events()["events_processed"] == 1
    assert [one.entity for one in Event.objects.get_events()] == [ward, ward]

    for one in Ward.everything.all():
        one.delete()
    assert not Event.objects.current().exists()
    clock.advance(days=31)
    event_processor.cleanup_old_events()
    assert not Event.objects.exists()


def test_conditions_on_a_model_without_objects_are_answered_within_the_statement_that_reads(clock):
    """Refused there, each would be asked by itself, and only the statements would tell."""
    for hours in (1, 2, 3):
        Ward.everything.create(open=True, opens_at=clock.now() + timedelta(hours=hours))
    with counted() as found:
        assert len(Event.objects.current().get_events()) == 6
    assert len(found) == 2, found.statements


def test_erasing_finds_the_parent_of_a_child_without_objects(clock):
    annexe = Annexe.everything.create(opens_at=clock.now())
    event = Event.objects.get(event_name="ward_opens")
    Event.objects.filter(pk=event.pk).update(error="Jane Doe")
    call_command("automation_erase", "hotel.Annexe", str(annexe.pk), stdout=StringIO())
    event.refresh_from_db()
    assert event.error == ""


def test_relation_or_field_called_events_is_left_alone(django_assert_num_queries):
    plain = Plain.objects.create(name="x")
    Visit.objects.create(plain=plain)
    assert plain.events.count() == 1
    Concert.objects.create(events=3)
    assert not Event.objects.exists()
    event_processor.process_due_events()


def test_raw_saves_of_loaddata_are_skipped():
    reservation = Reservation(pk=5, status="confirmed")
    for loaded in serializers.deserialize("json", serializers.serialize("json", [reservation])):
        loaded.save()
    assert Reservation.objects.exists()
    assert not Event.objects.exists()


def test_removing_the_content_type_takes_no_history_with_it():
    reservation = Reservation.objects.create()
    ContentType.objects.get_for_model(Reservation).delete()
    ContentType.objects.clear_cache()
    event = Event.objects.for_entity(reservation).first()
    assert event.entity == reservation
    assert event.is_valid is False
    Reservation.objects.create()


def test_muted_saves_leave_no_trace_and_sync_reconciles():
    with muted():
        reservation = Reservation.objects.create(status="confirmed")
    with muted("hotel.Reservation"):
        Reservation.objects.create()
        Document.objects.create()
    with muted([Document]):
        Document.objects.create()
    assert Event.objects.values_list("event_name", flat=True).get() == "document_signed"
    Event.objects.sync(Reservation.objects.filter(pk=reservation.pk))
    event = Event.objects.for_entity(reservation).get(event_name="reservation_confirmed")
    assert event.status == EventStatus.OCCURRED


def test_muting_inside_muting_hushes_both():
    with muted(Reservation):
        with muted(Document):
            Reservation.objects.create()
            Document.objects.create()
        Reservation.objects.create()
    assert not Event.objects.exists()


def test_muted_deletion_cancels_nothing_until_sync_events(clock):
    reservation = Reservation.objects.create(checkin_at=clock.now() + timedelta(hours=1))
    with muted():
        reservation.delete()
    assert set(Event.objects.values_list("status", flat=True)) == {EventStatus.PENDING}
    call_command("sync_events", "hotel.Reservation", stdout=StringIO())
    assert set(Event.objects.values_list("status", "current_key")) == {(EventStatus.CANCELLED, None)}


def test_muted_decorates_functions_of_both_kinds():
    @muted(Alarm)
    def quiet():
        return Alarm.objects.create()

    @muted()
    async def quiet_task():
        return await Alarm.objects.acreate()

    from asgiref.sync import async_to_sync

    quiet()
    async_to_sync(quiet_task)()
    assert not Event.objects.exists()
    Alarm.objects.create()
    assert Event.objects.exists()


def test_muting_is_of_one_thread():
    import threading

    with muted():
        thread = threading.Thread(target=_create_and_close)
        thread.start()
        thread.join()
    assert Event.objects.count() == 1


def _create_and_close():
    Alarm.objects.create()
    connection.close()


def test_save_inside_a_receiver_of_the_same_row_is_recorded_once():
    from django.db.models.signals import post_save

    def save_again(instance, created, **_):
        if created:
            instance.note = "again"
            instance.save()

    post_save.connect(save_again, sender=Reservation)
    try:
        # Our receiver was connected first; another order is the one that could meet its own rows.
        post_save.receivers.insert(0, post_save.receivers.pop())
        reservation = Reservation.objects.create(status="confirmed")
    finally:
        post_save.disconnect(save_again, sender=Reservation)
    assert names(reservation) == ["checkin_due", "reservation_confirmed"]


def test_model_defined_after_start_up_is_listened_to():
    from django.db import models

    from automation.events import registry
    from automation.events.definitions import EventDefinition

    class Late(Reservation):
        events = [EventDefinition("late_one")]

        class Meta:
            proxy = True
            app_label = "hotel"

    try:
        late = Late.objects.create()
        assert "late_one" in names(late)
    finally:
        from django.apps import apps

        del apps.all_models["hotel"]["late"]
        apps.clear_cache()
        registry.forget()
    assert isinstance(late, models.Model)
