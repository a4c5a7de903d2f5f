"""Immediate events: right after the commit, once, and nothing after a rollback."""

from contextlib import suppress
from dataclasses import replace

import pytest
from django.db import transaction
from django.db.models import Q
from django.test import TestCase

from automation.events import registry
from automation.events.callbacks import on_event
from automation.events.models import Event, EventStatus
from automation.events.services import event_processor
from tests.hotel.models import Alarm, Careless, Code, Document, Guest, Ledger, Offer, Reservation
from tests.undoing import rolled_back

pytestmark = pytest.mark.django_db(transaction=True)

PENDING, OCCURRED = EventStatus.PENDING, EventStatus.OCCURRED


@pytest.fixture(autouse=True)
def book(callbacks):
    on_event(name="book")(lambda event: Ledger.objects.create(entry=event.event_name))


def entries():
    return list(Ledger.objects.order_by("pk").values_list("entry", flat=True))


def status_of(obj, name):
    return Event.objects.for_entity(obj).current().get(event_name=name).status


def test_every_definition_has_one_row_whether_or_not_it_holds():
    reservation = Reservation.objects.create()
    reservation.save()
    rows = {event.event_name: (event.status, event.is_valid) for event in Event.objects.for_entity(reservation)}
    assert rows == {"reservation_confirmed": (PENDING, False), "checkin_due": (PENDING, False)}


@pytest.mark.parametrize("update_fields", [None, ["nights"]], ids=["whole", "some fields"])
@pytest.mark.parametrize("armed", [True, False], ids=["armed", "from before the package"])
def test_condition_sees_what_the_database_computes_at_the_save(armed, update_fields):
    offer = Offer.objects.create(nights=1)
    if not armed:
        Event.objects.all().delete()
    offer.nights = 7
    offer.save(update_fields=update_fields)
    assert sorted(entries()) == ["offer_dear", "offer_dear_q"]


def test_condition_sees_what_the_database_computes_at_the_insert():
    Offer.objects.create(nights=7)
    assert sorted(entries()) == ["offer_dear", "offer_dear_q"]


def test_nothing_occurs_before_the_outer_commit():
    with transaction.atomic():
        reservation = Reservation.objects.create(status="confirmed")
        assert status_of(reservation, "reservation_confirmed") == PENDING
        assert entries() == []
    assert status_of(reservation, "reservation_confirmed") == OCCURRED
    assert entries() == ["reservation_confirmed"]


def test_condition_is_checked_again_at_the_commit():
    with transaction.atomic():
        reservation = Reservation.objects.create(status="confirmed")
        Reservation.objects.update(status="pending")
    assert status_of(reservation, "reservation_confirmed") == PENDING
    assert entries() == []


def test_flip_within_one_transaction_counts_as_its_last_value():
    with transaction.atomic():
        reservation = Reservation.objects.create(status="confirmed")
        reservation.status = "pending"
        reservation.save()
    assert entries() == []
    event = Event.objects.for_entity(reservation).get(event_name="reservation_confirmed")
    assert (event.next_at, event.why) == (None, "condition is false")


def test_rollback_leaves_nothing():
    with rolled_back():
        Reservation.objects.create(status="confirmed")
    assert not Event.objects.exists()
    assert entries() == []


def test_rolled_back_savepoint_leaves_nothing_of_its_own():
    with transaction.atomic():
        outer = Reservation.objects.create()
        with rolled_back():
            outer.status = "confirmed"
            outer.save()
            Reservation.objects.create(status="confirmed")
    assert entries() == []
    assert status_of(outer, "reservation_confirmed") == PENDING
    assert Event.objects.count() == 2


def test_once_occurred_it_never_occurs_again():
    reservation = Reservation.objects.create(status="confirmed")
    for status in ("pending", "confirmed"):
        reservation.status = status
        reservation.save()
    assert entries() == ["reservation_confirmed"]


def test_false_condition_stays_pending_and_is_not_polled():
    Reservation.objects.create()
    assert event_processor.process_due_events()["due_events_found"] == 0


def test_crash_between_commit_and_hook_is_made_good_by_the_processor(monkeypatch):
    monkeypatch.setattr("automation.events.inline._follow", lambda work: None)
    reservation = Reservation.objects.create(status="confirmed")
    assert entries() == []
    assert event_processor.process_due_events()["events_processed"] == 1
    assert entries() == ["reservation_confirmed"]
    assert status_of(reservation, "reservation_confirmed") == OCCURRED


def test_failing_hook_of_somebody_else_does_not_lose_the_event():
    def fail():
        raise RuntimeError

    with suppress(RuntimeError), transaction.atomic():
        transaction.on_commit(fail)
        Reservation.objects.create(status="confirmed")
    event_processor.process_due_events()
    assert entries() == ["reservation_confirmed"]


def test_repeating_event_occurs_at_each_turn_from_false_to_true():
    alarm = Alarm.objects.create(level=9)
    for level in (9, 10, 1, 1, 7, 8, 2, 6):
        alarm.level = level
        alarm.save()
    assert entries() == ["alarm_raised"] * 3
    events = Event.objects.for_entity(alarm)
    assert [event.generation for event in events] == [1, 2, 3]
    assert [event.current_key is None for event in events] == [True, True, False]


def test_turn_there_and_back_within_one_transaction_is_none():
    alarm = Alarm.objects.create(level=9)
    with transaction.atomic():
        for level in (1, 9):
            alarm.level = level
            alarm.save()
    assert entries() == ["alarm_raised"]
    alarm.level = 1
    alarm.save()
    with transaction.atomic():
        for level in (9, 1, 9):
            alarm.level = level
            alarm.save()
    assert entries() == ["alarm_raised"] * 2


def test_turn_inside_a_rolled_back_savepoint_is_forgotten():
    alarm = Alarm.objects.create(level=9)
    with transaction.atomic():
        with rolled_back():
            alarm.level = 1
            alarm.save()
        alarm.level = 9
        alarm.save()
    assert entries() == ["alarm_raised"]


def test_condition_as_q_on_own_columns():
    document = Document.objects.create()
    document.signed = True
    document.save()
    assert entries() == ["document_signed"]


def test_condition_as_q_over_a_relation_is_asked_of_the_database():
    reservation = Reservation.objects.create(status="confirmed")
    guest = Guest.objects.create(reservation=reservation)
    assert entries() == ["reservation_confirmed", "guest_of_confirmed"]
    assert Event.objects.for_entity(guest).get().is_valid


def test_recheck_looks_again_at_a_condition_on_other_rows():
    reservation = Reservation.objects.create()
    guest = Guest.objects.create(reservation=reservation)
    reservation.status = "confirmed"
    reservation.save()
    assert entries() == ["reservation_confirmed"]
    Event.objects.recheck(guest)
    assert entries() == ["reservation_confirmed", "guest_of_confirmed"]


@pytest.mark.parametrize("truth", ["yes", 1, [0]])
@pytest.mark.parametrize("falsehood", ["", 0, None, []])
def test_condition_may_give_anything_that_is_true_or_false(monkeypatch, truth, falsehood):
    [definition] = Alarm.events
    monkeypatch.setattr(Alarm, "events", [replace(definition, condition=lambda a: truth if a.level else falsehood)])
    registry.forget()
    try:
        alarm = Alarm.objects.create(level=0)
        assert status_of(alarm, "alarm_raised") == PENDING
        alarm.level = 1
        alarm.save()
        assert status_of(alarm, "alarm_raised") == OCCURRED
    finally:
        monkeypatch.undo()
        registry.forget()


def test_condition_that_saves_its_own_entity_ends_and_occurs_once():
    careless = Careless.objects.create()
    assert Event.objects.for_entity(careless).get().status == OCCURRED
    assert entries() == ["looked_at"]


def test_copy_made_by_clearing_the_key_has_events_of_its_own():
    reservation = Reservation.objects.create(status="confirmed")
    first = reservation.pk
    reservation.pk = None
    reservation._state.adding = True
    reservation.save()
    assert reservation.pk != first
    assert entries() == ["reservation_confirmed"] * 2
    assert Event.objects.current().count() == 4


def test_clock_that_is_set_back_lets_nothing_occur_again(clock):
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    event_processor.process_due_events()
    clock.advance(hours=-1)
    reservation.save()
    event_processor.process_due_events()
    clock.advance(hours=2)
    event_processor.process_due_events()
    assert sorted(entries()) == ["checkin_due", "reservation_confirmed"]


def test_chain_of_events_does_not_nest(callbacks):
    depth, deepest = 0, 0

    @on_event("reservation_confirmed", atomic=False)
    def follow(event):
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if Reservation.objects.count() < 50:
            Reservation.objects.create(status="confirmed")
        depth -= 1

    Reservation.objects.create(status="confirmed")
    assert Reservation.objects.count() == 50
    assert deepest == 1


class InTestCase(TestCase):
    """Django's own test case, where nothing really commits."""

    def test_captured_hooks_let_the_event_occur(self):
        on_event("reservation_confirmed", name="case")(lambda event: Ledger.objects.create(entry="case"))
        with self.captureOnCommitCallbacks(execute=True):
            reservation = Reservation.objects.create(status="confirmed")
        assert "case" in entries()
        with self.captureOnCommitCallbacks(execute=True):
            reservation.delete()

    def test_turns_are_judged_between_captures(self):
        alarm = Alarm(level=9)
        for level in (9, 1, 9):
            alarm.level = level
            with self.captureOnCommitCallbacks(execute=True):
                alarm.save()
        assert Event.objects.for_entity(alarm).count() == 2


@pytest.mark.parametrize("text", ["NL", "nl", "B", "a", "b", "ä"])
def test_q_on_text_says_what_the_database_says(text):
    code = Code.objects.create(plain=text, loose=text)
    for name, condition in (("code_after", Q(plain__gt="a")), ("code_is", Q(loose="nl"))):
        expected = Code.objects.filter(pk=code.pk).filter(condition).exists()
        assert (status_of(code, name) == OCCURRED) is expected, name
