"""Calls before and after the event's time: they move and are cancelled with it."""

from datetime import timedelta

import pytest

from automation.events.callbacks import on_event
from automation.events.models import DeliveryStatus, Event, EventDelivery
from automation.events.rerunning import run_again
from automation.events.services import event_processor
from tests.doubles import RecordingSubscriber, subscribed
from tests.hotel.models import Faulty, Ledger, Reservation

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def book(callbacks):
    for name, minutes in (("before", -60), ("at", 0), ("after", 60)):
        on_event("checkin_due", name=name, offset_minutes=minutes)(
            lambda event, name=name: Ledger.objects.create(entry=f"{name} {event.status}")
        )


def entries():
    return list(Ledger.objects.order_by("pk").values_list("entry", flat=True))


def book_in(clock, **by):
    return Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(**by))


def poll():
    event_processor.process_due_events()
    return entries()


def test_each_at_its_time(clock):
    book_in(clock, hours=3)
    assert poll() == []
    clock.advance(hours=2)
    assert poll() == ["before pending"]
    clock.advance(hours=1)
    assert poll() == ["before pending", "at occurred"]
    clock.advance(hours=1)
    assert poll() == ["before pending", "at occurred", "after occurred"]
    clock.advance(days=3)
    assert len(poll()) == 3


def test_they_move_with_the_date(clock):
    reservation = book_in(clock, hours=3)
    reservation.checkin_at += 2 * HOUR
    reservation.save()
    clock.advance(hours=3)
    assert poll() == []
    clock.advance(hours=1)
    assert poll() == ["before pending"]


def test_they_move_with_a_date_that_comes_nearer(clock):
    reservation = book_in(clock, hours=9)
    reservation.checkin_at -= 6 * HOUR
    reservation.save()
    clock.advance(hours=2)
    assert poll() == ["before pending"]


def test_what_is_already_late_while_the_event_is_ahead_starts_at_once(clock):
    book_in(clock, minutes=30)
    assert poll() == ["before pending"]


def test_date_moved_by_update_moves_the_call_before_it(clock):
    book_in(clock, hours=3)
    Reservation.objects.update(checkin_at=clock.now() + 9 * HOUR)
    clock.advance(hours=2)
    assert poll() == []
    clock.advance(hours=6)
    assert poll() == ["before pending"]


def test_clearing_the_date_cancels_and_setting_it_again_owes_anew(clock):
    reservation = book_in(clock, hours=3)
    reservation.checkin_at = None
    reservation.save()
    assert EventDelivery.objects.get().status == DeliveryStatus.CANCELLED
    reservation.checkin_at = clock.now() + 3 * HOUR
    reservation.save()
    clock.advance(hours=2)
    assert poll() == ["before pending"]


def test_parked_call_moves_and_is_cancelled_with_its_event(clock):
    """A process that lacked the callback has parked it; the one that saves knows it."""
    reservation = book_in(clock, hours=3)
    EventDelivery.objects.update(status=DeliveryStatus.PARKED, next_at=None)
    reservation.checkin_at += 2 * HOUR
    reservation.save()
    assert EventDelivery.objects.get().due_at == clock.now() + 4 * HOUR
    EventDelivery.objects.update(status=DeliveryStatus.PARKED, next_at=None)
    reservation.checkin_at = None
    reservation.save()
    assert EventDelivery.objects.get().status == DeliveryStatus.CANCELLED


@pytest.mark.parametrize("ended", ["deleted", "armed again"])
def test_call_at_an_occurrence_that_was_not_made_yet_is_owed_whatever_becomes_of_the_event(clock, ended):
    reservation = book_in(clock, hours=0)
    event_processor.process_due_events(stop=lambda: True)
    assert entries() == []
    assert Event.objects.get(event_name="checkin_due").status == "occurred"
    if ended == "deleted":
        reservation.delete()
    else:
        reservation.checkin_at += 9 * HOUR
        reservation.save()
    assert "at occurred" in poll()


def test_next_due_is_the_earliest_of_events_and_calls(clock):
    book_in(clock, hours=3)
    assert event_processor.next_due_at() == clock.now() + 2 * HOUR
    clock.advance(hours=2)
    poll()
    assert event_processor.next_due_at() == clock.now() + HOUR


def test_deletion_cancels_what_has_not_begun(clock):
    book_in(clock, hours=3).delete()
    clock.advance(hours=9)
    assert poll() == []
    other = book_in(clock, hours=0)
    assert poll() == ["before occurred", "at occurred"]
    other.delete()
    clock.advance(hours=9)
    assert poll() == ["before occurred", "at occurred"]


def test_false_condition_holds_the_early_call_until_a_save_makes_it_true(clock):
    reservation = book_in(clock, hours=3)
    Reservation.objects.update(status="pending")
    clock.advance(hours=2)
    assert poll() == []
    assert EventDelivery.objects.get().next_at is None, "it is not polled again for nothing"
    reservation.status = "pending"
    reservation.save()
    reservation.status = "confirmed"
    reservation.save()
    assert poll() == ["before pending"]


def test_held_early_call_comes_at_the_occurrence_at_the_latest(clock):
    book_in(clock, hours=3)
    Reservation.objects.update(status="pending")
    clock.advance(hours=2)
    poll()
    Reservation.objects.update(status="confirmed")
    clock.advance(hours=1)
    assert sorted(poll()) == ["at occurred", "before occurred"]


def test_rearming_cancels_what_the_old_occurrence_had_not_begun(clock):
    reservation = book_in(clock, hours=0)
    poll()
    reservation.checkin_at = clock.now() + 5 * HOUR
    reservation.save()
    old = EventDelivery.objects.get(callback="after", generation=1)
    assert (old.status, old.why) == (DeliveryStatus.CANCELLED, "superseded")
    clock.advance(hours=6)
    assert poll()[2:] == ["before pending", "at occurred", "after occurred"]


def test_past_correction_moves_what_has_not_begun(clock):
    reservation = book_in(clock, hours=0)
    clock.advance(minutes=30)
    poll()
    reservation.checkin_at += timedelta(minutes=20)
    reservation.save()
    clock.advance(minutes=30)
    assert poll()[2:] == []
    clock.advance(minutes=20)
    assert poll()[2:] == ["after occurred"]


def test_outage_over_all_of_them_loses_none(clock):
    book_in(clock, hours=3)
    clock.advance(days=9)
    assert poll() == ["before pending", "at occurred", "after occurred"]


def test_positive_offsets_work_on_immediate_events_and_negative_do_not(clock):
    for minutes in (-5, 5):
        on_event("reservation_confirmed", name=f"now {minutes}", offset_minutes=minutes)(
            lambda event, minutes=minutes: Ledger.objects.create(entry=str(minutes))
        )
    Reservation.objects.create(status="confirmed")
    assert poll() == []
    clock.advance(minutes=5)
    assert poll() == ["5"]


def test_call_that_has_begun_is_never_touched(clock, settings):
    """One that failed for good and is run again by a person has begun: a new date does not take it back."""
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}
    on_event("checkin_due", name="bad", offset_minutes=-1)(lambda event: 1 / 0)
    reservation = book_in(clock, minutes=1)
    poll()
    run_again([EventDelivery.objects.get(callback="bad")])
    reservation.checkin_at = None
    reservation.save()
    assert EventDelivery.objects.get(callback="bad").status == DeliveryStatus.PENDING


def test_early_call_that_was_made_is_not_made_again_when_the_date_moves(clock):
    reservation = book_in(clock, hours=1)
    assert poll() == ["before pending"]
    reservation.checkin_at += 5 * HOUR
    reservation.save()
    clock.advance(hours=6)
    assert poll() == ["before pending", "at occurred"]


def test_dates_at_the_edge_of_time_do_no_harm(clock):
    from datetime import UTC, datetime

    reservation = book_in(clock, hours=1)
    reservation.checkin_at = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    reservation.save()
    event = Event.objects.for_entity(reservation).get(event_name="checkin_due")
    assert event.at.year == 9999


def test_condition_revoked_unseen_and_restored_by_a_save_lets_the_held_call_go_at_once(clock):
    """`update()` leaves no trace, so the row still said that the condition holds; the look at the call corrects it."""
    reservation = book_in(clock, hours=3)
    Reservation.objects.update(status="pending")
    clock.advance(hours=2)
    assert poll() == []
    reservation.save()
    assert poll() == ["before pending"]


def test_condition_that_raises_holds_the_early_call_and_shows_its_error(clock):
    on_event("faulty_due", name="early", offset_minutes=-60)(lambda event: Ledger.objects.create(entry="early"))
    faulty = Faulty.objects.create(mood="good", at=clock.now() + 3 * HOUR)
    Faulty.objects.update(mood="raise")
    clock.advance(hours=2)
    assert poll() == []
    assert "in a bad mood" in Event.objects.get(event_name="faulty_due").error
    faulty.save()
    assert poll() == ["early"]


@pytest.mark.parametrize("restored", ["by a save", "unseen"])
def test_early_call_that_failed_and_is_held_at_its_next_try_is_not_lost(clock, restored):
    troubles = [ValueError("not yet")]

    @on_event("checkin_due", name="early", offset_minutes=-120)
    def early(event):
        if troubles:
            raise troubles.pop()
        Ledger.objects.create(entry=f"early {event.status}")

    reservation = book_in(clock, hours=2)
    assert poll() == []
    Reservation.objects.update(status="pending")
    clock.advance(minutes=5)
    assert poll() == []
    held = EventDelivery.objects.get(callback="early")
    assert (held.attempts, held.next_at, held.why) == (1, None, "condition is false")
    if restored == "by a save":
        reservation.save()
        assert poll() == ["early pending"]
    else:
        Reservation.objects.update(status="confirmed")
        clock.advance(hours=2)
        assert "early occurred" in poll()


def test_early_call_whose_event_cannot_be_looked_at_holds_up_no_other(clock):
    with subscribed(RecordingSubscriber()) as subscriber:
        bad, good = book_in(clock, hours=3), book_in(clock, hours=3.5)
        Reservation.objects.filter(pk=bad.pk).update(checkin_at=clock.now() + 9 * HOUR)
        subscriber.moved = lambda occurrences, *, using: 1 / 0
        clock.advance(hours=2.5)
        assert poll() == ["before pending"], f"{good.pk} is called, though {bad.pk} cannot be moved"

    held = EventDelivery.objects.get(callback="before", status=DeliveryStatus.PENDING)
    assert (held.attempts, held.error, held.next_at) == (0, "", clock.now() + timedelta(minutes=1))
    assert "division by zero" in held.why
    clock.advance(minutes=1)
    assert poll() == ["before pending"]
    assert EventDelivery.objects.get(pk=held.pk).due_at == bad.checkin_at + 5 * HOUR
