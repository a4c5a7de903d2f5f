"""Scheduled events: they follow every edit of their date, and occur once."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from automation.events.callbacks import on_event, on_event_cancelled, on_event_created, on_event_rescheduled
from automation.events.models import Event, EventStatus
from automation.events.services import event_processor
from tests.conftest import START
from tests.hotel.models import Country, Ledger, Reservation, Shift, Task
from tests.undoing import rolled_back

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def book(callbacks):
    on_event("checkin_due", name="book")(lambda event: Ledger.objects.create(entry=str(event.generation)))


def entries():
    return list(Ledger.objects.order_by("pk").values_list("entry", flat=True))


def book_in(clock, **by):
    return Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(**by))


def row(reservation):
    return Event.objects.for_entity(reservation).current().get(event_name="checkin_due")


def poll():
    return event_processor.process_due_events()["events_processed"]


def test_moved_earlier_and_later(clock):
    reservation = book_in(clock, hours=5)
    reservation.checkin_at = clock.now() + HOUR
    reservation.save()
    clock.advance(hours=1)
    assert poll() == 1
    assert row(reservation).at == reservation.checkin_at


def test_cleared_and_set_again(clock):
    reservation = book_in(clock, hours=5)
    reservation.checkin_at = None
    reservation.save()
    assert (row(reservation).status, row(reservation).at, row(reservation).why) == ("pending", None, "has no date")
    clock.advance(hours=6)
    assert poll() == 0
    reservation.checkin_at = clock.now() + HOUR
    reservation.save()
    clock.advance(hours=1)
    assert poll() == 1
    assert len(entries()) == 1


def test_moved_a_hundred_times_in_one_transaction_is_its_last_value(clock):
    moves = []
    on_event_rescheduled("checkin_due", name="moves")(lambda event: moves.append(event.at))
    reservation = book_in(clock, hours=1)
    with transaction.atomic():
        for hours in range(100):
            reservation.checkin_at = None if hours % 7 == 3 else clock.now() + (2 + hours) * HOUR
            reservation.save()
    assert moves == [reservation.checkin_at]
    clock.advance(hours=100)
    assert poll() == 0
    clock.advance(hours=1)
    assert poll() == 1
    assert len(entries()) == 1


def test_moved_after_it_occurred_arms_a_new_occurrence(clock):
    reservation = book_in(clock, hours=1)
    clock.advance(hours=1)
    poll()
    reservation.checkin_at = clock.now() + HOUR
    reservation.save()
    assert poll() == 0
    clock.advance(hours=1)
    assert poll() == 1
    assert entries() == ["1", "2"]
    old, new = Event.objects.for_entity(reservation).filter(event_name="checkin_due")
    assert (old.status, old.current_key, new.generation) == ("occurred", None, 2)


def test_moved_to_another_past_date_after_it_occurred_does_not_occur_again(clock):
    reservation = book_in(clock, hours=1)
    clock.advance(hours=2)
    poll()
    reservation.checkin_at -= timedelta(minutes=5)
    reservation.save()
    assert poll() == 0
    assert row(reservation).at == reservation.checkin_at


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in two"])
@pytest.mark.parametrize("minutes", [0, -3], ids=["where it was", "to another past date"])
@pytest.mark.parametrize("cleared", [False, True], ids=["", "cleared meanwhile"])
def test_moved_on_and_taken_back_after_it_occurred_does_not_occur_again(clock, together, minutes, cleared):
    reservation = book_in(clock, hours=1)
    clock.advance(hours=1)
    poll()
    before = reservation.checkin_at
    clock.advance(minutes=5)

    with transaction.atomic() if together else nullcontext():
        for date in [clock.now() + HOUR, *([None] if cleared else []), before + timedelta(minutes=minutes)]:
            reservation.checkin_at = date
            reservation.save()
    clock.advance(hours=2)

    assert poll() == 0
    assert entries() == ["1"]
    assert (row(reservation).status, row(reservation).at) == ("cancelled", reservation.checkin_at)


def test_taken_back_and_moved_on_again_occurs(clock):
    reservation = book_in(clock, hours=0)
    poll()
    for hours in (1, 0, 2):
        reservation.checkin_at = START + hours * HOUR
        reservation.save()
    clock.advance(hours=2)
    assert poll() == 1
    assert entries() == ["1", "3"]


def test_taken_back_tells_whoever_was_told_of_the_new_occurrence(clock):
    told = []
    on_event_created("checkin_due", name="made")(lambda event: told.append("made"))
    on_event_cancelled("checkin_due", name="torn")(lambda event: told.append("torn"))
    reservation = book_in(clock, hours=0)
    poll()
    for hours in (1, 0):
        reservation.checkin_at = START + hours * HOUR
        reservation.save()
    assert told == ["made", "made", "torn"]
    assert "no new occurrence" in row(reservation).why


def test_corrected_after_its_second_time_has_come_still_occurs(clock):
    """Only the processor was late."""
    reservation = book_in(clock, hours=0)
    poll()
    reservation.checkin_at += HOUR
    reservation.save()
    clock.advance(hours=2)
    reservation.checkin_at += timedelta(minutes=5)
    reservation.save()
    assert poll() == 1
    assert entries() == ["1", "2"]


def test_unchanged_date_does_not_rearm_after_an_early_mark(clock):
    reservation = book_in(clock, hours=1)
    assert row(reservation).mark_as_occurred()
    reservation.save()
    clock.advance(hours=2)
    assert poll() == 0
    assert entries() == ["1"]


def test_outage_of_days_loses_nothing_and_goes_oldest_first(clock):
    seen = []
    on_event("checkin_due", name="seen")(lambda event: seen.append(event.at))
    for hours in (5, 1, 3):
        book_in(clock, hours=hours)
    clock.advance(days=30)
    assert poll() == 3
    assert seen == sorted(seen)
    assert poll() == 0


def test_small_batches_reach_everything_due(clock, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 3}
    for hours in (1, 1, 1, 1, 2, 2, 3, 3, 3, 3):
        book_in(clock, hours=hours)
    clock.advance(hours=4)
    report = event_processor.process_due_events()
    assert (report["events_processed"], report["deliveries_made"], len(entries())) == (10, 10, 10)


def test_false_at_its_time_waits_for_a_save_and_is_not_polled_again(clock):
    reservation = book_in(clock, hours=1)
    Reservation.objects.update(status="pending")
    clock.advance(hours=1)
    assert event_processor.process_due_events()["due_events_found"] == 1
    assert event_processor.process_due_events()["due_events_found"] == 0
    assert row(reservation).why == "condition is false"
    clock.advance(days=3)
    reservation.status = "confirmed"
    reservation.save()
    assert entries() == [], "a scheduled event never occurs inside the commit of a save"
    assert poll() == 1


def test_date_moved_by_update_never_fires_at_the_old_time(clock):
    reservation = book_in(clock, hours=1)
    Reservation.objects.update(checkin_at=F("checkin_at") + HOUR)
    clock.advance(hours=1)
    assert poll() == 0
    assert row(reservation).at == reservation.checkin_at + HOUR
    clock.advance(hours=1)
    assert poll() == 1


def test_date_given_as_an_expression_is_read_back(clock):
    reservation = book_in(clock, hours=1)
    reservation.checkin_at = F("checkin_at") + HOUR
    reservation.save()
    assert row(reservation).at == clock.now() + 2 * HOUR


def test_date_given_as_text_is_read_as_the_database_reads_it(clock):
    reservation = book_in(clock, hours=1)
    reservation.checkin_at = "2030-01-01T18:00:00+00:00"
    reservation.save()
    assert row(reservation).at == clock.now() + 6 * HOUR


def test_update_fields_without_the_date_keeps_it(clock):
    reservation = book_in(clock, hours=1)
    at = row(reservation).at
    reservation.checkin_at = clock.now() + 9 * HOUR
    reservation.save(update_fields=["note"])
    assert row(reservation).at == at


def test_dirty_date_that_was_not_written_does_not_count(clock):
    """Without a condition nothing is read back, and the instance in hand says otherwise than the database."""
    task = Task.objects.create(due_at=clock.now() + HOUR)
    task.due_at = clock.now() + 9 * HOUR
    task.save(update_fields=["title"])
    assert Event.objects.get(event_name="timed_due").at == clock.now() + HOUR


def test_dirty_field_that_was_not_written_does_not_count(clock):
    reservation = Reservation.objects.create()
    Reservation.objects.update(status="confirmed")
    reservation.note = "x"
    reservation.save(update_fields=["note"])
    event = Event.objects.for_entity(reservation).get(event_name="reservation_confirmed")
    assert event.status == EventStatus.OCCURRED, "the database holds 'confirmed', whatever the instance says"


def test_deferred_date_is_read_back(clock):
    reservation = book_in(clock, hours=1)
    Reservation.objects.defer("checkin_at", "status").get().save()
    assert row(reservation).at == clock.now() + HOUR


def test_date_that_is_long_past_when_first_seen_expires(clock):
    reservation = book_in(clock, hours=-25)
    assert row(reservation).status == EventStatus.EXPIRED
    assert "old when first seen" in row(reservation).why
    assert poll() == 0
    recent = book_in(clock, hours=-23)
    assert poll() == 1
    assert row(recent).status == EventStatus.OCCURRED


def test_late_limit_is_a_setting(clock, settings):
    settings.AUTOMATION_EVENTS = {"LATE_LIMIT": timedelta(days=3)}
    book_in(clock, days=-2)
    assert poll() == 1


def test_late_bounds_how_long_a_save_may_still_make_it_occur(clock):
    shift = Shift.objects.create(starts_at=clock.now())
    on_time = Shift.objects.create(starts_at=clock.now())
    assert poll() == 0
    clock.advance(minutes=30)
    on_time.staffed = True
    on_time.save()
    assert poll() == 1
    clock.advance(minutes=31)
    poll()
    assert Event.objects.for_entity(shift).get().status == EventStatus.EXPIRED
    shift.staffed = True
    shift.save()
    assert poll() == 0


def test_what_a_save_makes_true_within_the_bound_of_late_occurs_however_late_the_processor_is(clock):
    shift = Shift.objects.create(starts_at=clock.now())
    assert poll() == 0
    clock.advance(minutes=30)
    shift.staffed = True
    shift.save()
    clock.advance(hours=30)
    assert poll() == 1


def test_what_a_later_save_makes_false_again_stays_bound_by_late(clock):
    shift = Shift.objects.create(starts_at=clock.now())
    assert poll() == 0
    for staffed in (True, False):
        clock.advance(minutes=10)
        shift.staffed = staffed
        shift.save()
    clock.advance(hours=1)
    assert poll() == 0
    shift.staffed = True
    shift.save()
    assert poll() == 0
    assert Event.objects.for_entity(shift).get().status == EventStatus.EXPIRED


def test_deletion_cancels_what_is_pending_and_keeps_what_occurred(clock):
    heard = []
    on_event_cancelled("checkin_due", name="heard")(
        lambda event: heard.append((event.status, event.entity.checkin_at, event.entity.status))
    )
    reservation = book_in(clock, hours=1)
    checkin_at, key = reservation.checkin_at, str(reservation.pk)
    reservation.delete()
    rows = Event.objects.filter(entity_id=key)
    assert {event.event_name: event.status for event in rows} == {
        "checkin_due": "cancelled",
        "reservation_confirmed": "occurred",
    }
    assert {event.current_key for event in rows} == {None}
    assert heard == [("cancelled", checkin_at, "confirmed")]
    clock.advance(hours=2)
    assert poll() == 0


def test_queryset_delete_and_cascade_cancel_too(clock):
    book_in(clock, hours=1)
    book_in(clock, hours=2)
    Reservation.objects.all().delete()
    assert set(Event.objects.filter(event_name="checkin_due").values_list("status", flat=True)) == {"cancelled"}


def test_reused_key_starts_afresh(clock):
    reservation = book_in(clock, hours=1)
    key = reservation.pk
    clock.advance(hours=1)
    poll()
    reservation.delete()
    Reservation.objects.create(pk=key, status="confirmed", checkin_at=clock.now() + HOUR)
    clock.advance(hours=1)
    assert poll() == 1
    assert entries() == ["1", "1"]


def test_key_reused_after_an_unseen_deletion_starts_afresh(clock):
    reservation = book_in(clock, hours=1)
    key = reservation.pk
    clock.advance(hours=1)
    poll()
    Reservation.objects.filter(pk=key)._raw_delete("default")
    reborn = Reservation.objects.create(pk=key, status="confirmed", checkin_at=clock.now() + HOUR)
    assert row(reborn).generation == 1
    clock.advance(hours=1)
    assert poll() == 1
    assert entries() == ["1", "1"]


def test_entity_deleted_unseen_is_cancelled_when_due(clock):
    reservation = book_in(clock, hours=1)
    Reservation.objects.filter(pk=reservation.pk)._raw_delete("default")
    clock.advance(hours=1)
    assert poll() == 0
    event = Event.objects.get(event_name="checkin_due")
    assert (event.status, event.why, event.entity) == ("cancelled", "its entity was deleted", None)


def test_cancel_and_mark_act_from_pending_only(clock):
    cancelled = []
    on_event_cancelled("checkin_due", name="cancelled")(lambda event: cancelled.append(event.pk))
    reservation = book_in(clock, hours=1)
    event = row(reservation)
    assert event.cancel()
    assert event.status == EventStatus.CANCELLED
    assert not event.cancel()
    assert not event.mark_as_occurred()
    assert cancelled == [event.pk]
    clock.advance(hours=2)
    assert poll() == 0
    reservation.save()
    assert row(reservation).status == EventStatus.CANCELLED


def test_created_and_rescheduled_are_heard_after_the_commit(clock):
    heard = []
    on_event_created("checkin_due", name="created")(lambda event: heard.append(("created", event.at)))
    on_event_rescheduled("checkin_due", name="moved")(lambda event: heard.append(("moved", event.at)))
    with transaction.atomic():
        reservation = book_in(clock, hours=1)
        assert heard == []
    reservation.checkin_at = None
    reservation.save()
    assert heard == [("created", clock.now() + HOUR), ("moved", None)]


def test_move_that_stays_is_heard_though_an_earlier_one_of_the_transaction_was_rolled_back(clock):
    heard = []
    reservation, other = (Reservation.objects.create(checkin_at=clock.now() + timedelta(hours=1)) for _ in range(2))
    on_event_rescheduled("checkin_due", name="a")(lambda event: heard.append(event.entity_id))
    with transaction.atomic():
        other.checkin_at = clock.now() + timedelta(hours=2)
        other.save()
        with rolled_back():
            reservation.checkin_at = clock.now() + timedelta(hours=2)
            reservation.save()
        reservation.checkin_at = clock.now() + timedelta(hours=1)
        reservation.status = "confirmed"
        reservation.save()
        reservation.checkin_at = clock.now() + timedelta(hours=3)
        reservation.save()
    assert sorted(heard) == sorted([str(reservation.pk), str(other.pk)])


def test_each_move_in_a_commit_of_its_own_is_heard(clock):
    moves = []
    on_event_rescheduled("checkin_due", name="moves")(lambda event: moves.append(event.at))
    reservation = book_in(clock, hours=1)
    dates = [clock.now() + timedelta(hours=hours) for hours in (2, 3, 2)]
    for reservation.checkin_at in dates:
        reservation.save()
    assert moves == dates


def test_date_field_is_local_midnight(clock):
    from datetime import UTC, date, datetime

    country = Country.objects.create(code="nl", independent_at=date(2030, 7, 26))
    event = Event.objects.for_entity(country).get()
    assert event.at == datetime(2030, 7, 25, 22, tzinfo=UTC), "midnight in Amsterdam, summer time"


def test_naive_value_is_made_aware_as_django_does(clock):
    from datetime import UTC, datetime

    reservation = Reservation(status="confirmed", checkin_at=datetime(2030, 1, 2, 10))
    with pytest.warns(RuntimeWarning, match="naive"):
        reservation.save()
    assert row(reservation).at == datetime(2030, 1, 2, 9, tzinfo=UTC)


def test_payload_and_about_are_carried_with_the_occurrence(clock):
    reservation = Reservation.objects.create()
    shift = Shift.objects.create(starts_at=clock.now(), staffed=True, reservation=reservation)
    assert poll() == 1
    event = Event.objects.for_entity(shift).get()
    assert event.payload == {"shift": shift.pk}
    assert event.about == [["hotel.reservation", str(reservation.pk)]]


@pytest.mark.parametrize("early", [False, True], ids=["at its date", "marked early"])
def test_about_is_what_it_is_about_when_it_occurs(clock, early):
    first, second = Reservation.objects.create(), Reservation.objects.create()
    shift = Shift.objects.create(starts_at=clock.now() + HOUR, staffed=True, reservation=first)
    assert Event.objects.for_entity(shift).get().about is None
    Shift.objects.update(reservation=second)
    if early:
        Event.objects.for_entity(shift).get().mark_as_occurred()
    clock.advance(hours=1)
    poll()
    assert Event.objects.for_entity(shift).get().about == [["hotel.reservation", str(second.pk)]]


def test_get_events_gives_the_valid_ones_by_time(clock):
    late, early = book_in(clock, hours=5), book_in(clock, hours=2)
    Reservation.objects.create(checkin_at=clock.now() + HOUR)
    found = Event.objects.get_events(clock.now() + 2 * HOUR, clock.now() + 5 * HOUR, EventStatus.PENDING)
    assert [event.entity_id for event in found] == [str(early.pk), str(late.pk)]
    every = Event.objects.get_events(include_immediate=True)
    assert len(every) == 4
    assert len(Event.objects.get_events(include_immediate=False)) == 2
    Reservation.objects.filter(pk=early.pk)._raw_delete("default")
    assert len(Event.objects.get_events()) == 2


def test_due_gives_what_must_be_looked_at(clock):
    book_in(clock, hours=1)
    assert not Event.objects.due(clock.now()).exists()
    assert Event.objects.due(clock.now() + HOUR).count() == 1


@pytest.mark.parametrize("bounds", [{"from_date": START - HOUR}, {"to_date": START + HOUR}], ids=["from", "to"])
def test_scheduled_events_without_a_date_lie_between_no_bounds(clock, bounds):
    Reservation.objects.create(status="confirmed")
    assert [one.event_name for one in Event.objects.get_events(**bounds)] == ["reservation_confirmed"]
    assert Event.objects.get_due_events(**bounds) == []
    assert len(Event.objects.get_events()) == 2
    assert [one.event_name for one in Event.objects.get_due_events()] == ["checkin_due"]


def test_get_due_events_gives_the_scheduled_ones_between_the_bounds(clock):
    for hours in (1, 2, 3):
        Reservation.objects.create(status="confirmed", checkin_at=clock.now() + hours * HOUR)
    found = Event.objects.get_due_events(clock.now() + HOUR, clock.now() + 2 * HOUR, EventStatus.PENDING)
    assert [(one.event_name, one.at - clock.now()) for one in found] == [
        ("checkin_due", HOUR),
        ("checkin_due", 2 * HOUR),
    ]
