"""Conditions, dates and payloads that raise: parked with the text, and nothing else harmed."""

from datetime import timedelta

import pytest
from django.db import transaction

from automation.events.models import Event, EventStatus
from automation.events.services import event_processor
from tests.hotel.models import Alarm, Faulty, Pattern, Plain

pytestmark = pytest.mark.django_db(transaction=True)


def rows(faulty):
    return {event.event_name: event for event in Event.objects.for_entity(faulty).current()}


@pytest.mark.parametrize("mood", ["raise", "query"])
def test_condition_that_raises_parks_its_event_and_spares_the_save(mood):
    with transaction.atomic():
        faulty = Faulty.objects.create(mood=mood)
        Plain.objects.create(name="after")
    assert Plain.objects.exists(), "a database error inside a condition does not abort the save's transaction"
    event = rows(faulty)["faulty_now"]
    assert event.status == EventStatus.PENDING
    assert event.next_at is None
    assert "parked" in event.why
    assert ("in a bad mood" in event.error) or ("no_such_column" in event.error)
    assert not event.is_valid
    assert rows(faulty)["sound"].status == EventStatus.OCCURRED, "other definitions are untouched"


def test_it_is_tried_again_at_the_next_save():
    faulty = Faulty.objects.create(mood="raise")
    faulty.mood = "good"
    faulty.save()
    event = rows(faulty)["faulty_now"]
    assert (event.status, event.error) == (EventStatus.OCCURRED, "")


def test_payload_that_is_not_json_parks_the_event(clock):
    faulty = Faulty.objects.create(mood="good")
    event = rows(faulty)["faulty_payload"]
    assert event.status == EventStatus.PENDING
    assert "payload.when is nan" in event.error
    faulty.at = clock.now()
    faulty.save()
    assert rows(faulty)["faulty_payload"].payload == {"mood": "good"}


def test_condition_that_raises_at_its_time_does_not_stop_the_others(clock):
    bad = Faulty.objects.create(mood="good", at=clock.now() + timedelta(hours=1))
    good = Faulty.objects.create(mood="good", at=clock.now() + timedelta(hours=2))
    Faulty.objects.filter(pk=bad.pk).update(mood="raise")
    clock.advance(hours=3)
    assert event_processor.process_due_events()["events_processed"] == 1
    assert "in a bad mood" in rows(bad)["faulty_due"].error
    assert rows(good)["faulty_due"].status == EventStatus.OCCURRED
    assert event_processor.process_due_events()["due_events_found"] == 0


def test_orphan_row_answers_without_raising():
    event = Event(event_name="gone", entity_type="no.model", entity_id="1")
    assert event.entity is None
    assert not event.is_valid
    assert event.definition is None
    assert str(event) == "gone of no.model 1"


def test_row_whose_definition_this_process_lacks_is_left_to_another(clock):
    faulty = Faulty.objects.create(mood="good", at=clock.now())
    Event.objects.filter(event_name="faulty_due").update(event_name="of_a_newer_release")
    assert event_processor.process_due_events()["events_processed"] == 0
    event = Event.objects.for_entity(faulty).get(event_name="of_a_newer_release")
    assert event.status == EventStatus.PENDING
    assert event.next_at == clock.now() + timedelta(seconds=60)
    assert "not in the code" in event.why


def test_q_that_no_database_can_answer_is_parked_and_harms_neither_the_save_nor_the_rest(clock):
    pattern = Pattern.objects.create(at=clock.now())

    rows = Event.objects.for_entity(pattern).in_bulk(field_name="id").values()
    found = {event.event_name: (event.status, "parked" in event.why, bool(event.error)) for event in rows}
    assert found == {
        "pattern_broken": ("pending", True, True),
        "pattern_due": ("pending", True, True),
        "pattern_sound": ("occurred", False, False),
    }


def test_q_that_no_database_can_answer_does_not_stop_the_processor(clock):
    patterns = [Pattern.objects.create(at=clock.now() + timedelta(minutes=1)) for _ in range(2)]
    sound = Faulty.objects.create(mood="good", at=clock.now() + timedelta(hours=1))
    clock.advance(hours=2)

    assert event_processor.process_due_events(using="default")["events_processed"] == 1
    assert Event.objects.get(event_name="faulty_due", entity_id=str(sound.pk)).status == "occurred"
    held = Event.objects.filter(event_name="pattern_due")
    assert [(event.next_at, "parked" in event.why) for event in held] == [(None, True)] * len(patterns)
    assert event_processor.process_due_events(using="default")["due_events_found"] == 0


def test_entity_that_cannot_be_read_does_not_stop_the_processor(clock, monkeypatch):
    bad = Faulty.objects.create(mood="good", at=clock.now() + timedelta(hours=1))
    good = Faulty.objects.create(mood="good", at=clock.now() + timedelta(hours=1))
    read = Faulty.from_db.__func__

    def refuse(cls, db, names, values, **newer):
        # Django 6.1 gives a fetch mode besides.
        if values[0] == bad.pk:
            raise ValueError("no such mood")
        return read(cls, db, names, values, **newer)

    monkeypatch.setattr(Faulty, "from_db", classmethod(refuse))
    clock.advance(hours=2)

    event_processor.process_due_events(using="default")

    rows = {event.entity_id: event for event in Event.objects.filter(event_name="faulty_due")}
    assert rows[str(good.pk)].status == "occurred"
    assert rows[str(bad.pk)].error == "ValueError: no such mood"
    assert rows[str(bad.pk)].next_at > clock.now(), "it is tried again, and not at once"


def test_condition_that_cannot_judge_what_was_assigned_judges_what_is_stored():
    alarm = Alarm.objects.create(level="9")
    event = Event.objects.for_entity(alarm).get()
    assert (event.status, event.error) == ("occurred", "")
    alarm.level = "1"
    alarm.save()
    assert Event.objects.for_entity(alarm).get().condition_held is False
