"""The dispatcher and the subscribers."""

from datetime import timedelta

import pytest

from automation.events.callbacks import on_event, on_event_created
from automation.events.models import Event, EventDelivery, EventStatus
from automation.events.ports import Processor, wiring
from automation.events.services import event_processor
from tests.doubles import RecordingDispatcher, RecordingSubscriber, subscribed
from tests.hotel.models import Alarm, Ledger, Reservation, Shift
from tests.undoing import rolled_back

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def dispatcher():
    dispatcher = RecordingDispatcher()
    with wiring.override(dispatcher=dispatcher):
        yield dispatcher


@pytest.fixture
def subscriber():
    with subscribed(RecordingSubscriber()) as subscriber:
        yield subscriber


def test_ready_plugs_the_processor_in():
    processor: Processor = event_processor
    assert wiring.processor is processor


def test_override_takes_none_for_no_dispatcher_and_puts_the_old_one_back(dispatcher):
    with wiring.override(dispatcher=None):
        assert wiring.dispatcher is None
        with wiring.override(clock=wiring.clock):
            assert wiring.dispatcher is None
    assert wiring.dispatcher is dispatcher


def test_background_callback_is_handed_over_and_made_by_a_worker(dispatcher):
    on_event("reservation_confirmed", name="a", background=True)(lambda event: Ledger.objects.create(entry="a"))
    on_event("reservation_confirmed", name="b")(lambda event: Ledger.objects.create(entry="b"))
    Reservation.objects.create(status="confirmed")
    assert list(Ledger.objects.values_list("entry", flat=True)) == ["b"]
    [(ids, using)] = dispatcher.delivered
    assert (event_processor.deliver(ids, using=using), event_processor.deliver(ids, using=using)) == (1, 0)
    assert Ledger.objects.count() == 2


def test_background_callback_of_what_a_save_itself_owes_is_handed_over_too(dispatcher):
    on_event_created("reservation_confirmed", name="a", background=True)(lambda event: Ledger.objects.create(entry="a"))
    Reservation.objects.create()
    assert not Ledger.objects.exists()
    [(ids, using)] = dispatcher.delivered
    assert event_processor.deliver(ids, using=using) == 1
    assert Ledger.objects.count() == 1


def test_background_callback_runs_here_without_an_executor():
    on_event("reservation_confirmed", name="a", background=True)(lambda event: Ledger.objects.create(entry="a"))
    Reservation.objects.create(status="confirmed")
    assert Ledger.objects.exists()


def test_lost_message_is_made_good_by_the_processor(dispatcher):
    on_event("reservation_confirmed", name="a", background=True)(lambda event: Ledger.objects.create(entry="a"))
    Reservation.objects.create(status="confirmed")
    event_processor.process_due_events()
    assert Ledger.objects.count() == 1


def test_near_due_times_are_hinted_when_armed(dispatcher, clock):
    reservation = Reservation.objects.create(checkin_at=clock.now() + timedelta(minutes=3))
    assert dispatcher.hints == [clock.now() + timedelta(minutes=3)]
    reservation.checkin_at = clock.now() + 9 * HOUR
    reservation.save()
    assert len(dispatcher.hints) == 1, "far times are left to the poll"


def test_poll_hints_what_falls_within_the_next_horizon(dispatcher, clock):
    Reservation.objects.create(checkin_at=clock.now() + HOUR)
    event_processor.process_due_events()
    assert dispatcher.hints == []
    clock.advance(minutes=57)
    event_processor.process_due_events()
    assert dispatcher.hints == [clock.now() + timedelta(minutes=3)]


def test_early_calls_are_hinted_too(dispatcher, clock):
    on_event("checkin_due", name="before", offset_minutes=-60)(lambda event: None)
    Reservation.objects.create(checkin_at=clock.now() + timedelta(minutes=62))
    assert dispatcher.hints == [clock.now() + timedelta(minutes=2)]


def test_failed_delivery_hints_its_next_try(dispatcher, clock):
    on_event("reservation_confirmed", name="bad")(lambda event: 1 / 0)
    Reservation.objects.create(status="confirmed")
    assert dispatcher.hints == [EventDelivery.objects.get().next_at]


def test_what_the_time_after_a_commit_did_not_suffice_for_is_hinted(dispatcher, clock):
    on_event("reservation_confirmed", name="a")(lambda event: clock.advance(seconds=3))
    on_event("reservation_confirmed", name="b")(lambda event: None)
    Reservation.objects.create(status="confirmed")
    assert EventDelivery.objects.get(callback="b").status == "pending"
    assert dispatcher.hints == [clock.now()]


def test_scheduled_event_that_a_save_makes_due_is_hinted_not_run(dispatcher, clock):
    reservation = Reservation.objects.create(checkin_at=clock.now())
    event_processor.process_due_events()
    dispatcher.hints.clear()
    reservation.status = "confirmed"
    reservation.save()
    assert dispatcher.hints == [clock.now()]
    assert Event.objects.get(event_name="checkin_due").status == EventStatus.PENDING


def test_subscriber_is_told_inside_the_transaction(subscriber, clock):
    with rolled_back():
        Reservation.objects.create(checkin_at=clock.now() + HOUR)
        assert subscriber.kinds() == ["armed"]
    assert not Event.objects.exists()


def test_subscriber_hears_each_kind_once_per_save(subscriber, clock):
    reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + HOUR)
    reservation.checkin_at += HOUR
    reservation.save()
    reservation.save()
    reservation.checkin_at = None
    reservation.save()
    reservation.checkin_at = clock.now() + HOUR
    reservation.save()
    clock.advance(hours=1)
    event_processor.process_due_events()
    reservation.checkin_at = clock.now() + HOUR
    reservation.save()
    reservation.delete()
    assert subscriber.kinds() == [
        "armed",
        "occurred",
        "moved",
        "ended disarmed",
        "armed",
        "occurred",
        "ended superseded",
        "armed",
        "ended deleted",
    ]


def test_occurrences_name_what_happened(subscriber, clock):
    reservation = Reservation.objects.create(checkin_at=clock.now() + HOUR)
    armed = {one.event_name: one for one in subscriber.heard[0][1]}
    assert armed["checkin_due"].at == clock.now() + HOUR
    assert armed["reservation_confirmed"].at is None
    assert {one.entity_id for one in armed.values()} == {str(reservation.pk)}
    reservation.checkin_at = None
    reservation.save()
    [ended] = subscriber.heard[-1][1]
    assert (ended.at, ended.generation) == (clock.now() + HOUR, 1), "what ended is described as it was"
    reservation.checkin_at = clock.now() + HOUR
    reservation.save()
    [armed_again] = subscriber.heard[-1][1]
    assert (armed_again.event_id, armed_again.generation) == (ended.event_id, 2)


def test_condition_that_turns_true_before_the_date_is_told_as_moved(subscriber, clock):
    reservation = Reservation.objects.create(checkin_at=clock.now() + HOUR)
    reservation.status = "confirmed"
    reservation.save()
    moved = [one.event_name for kind, ones in subscriber.heard if kind == "moved" for one in ones]
    assert moved == ["checkin_due"]


def test_occurrence_carries_payload_and_about(subscriber, clock):
    reservation = Reservation.objects.create()
    shift = Shift.objects.create(starts_at=clock.now(), staffed=True, reservation=reservation)
    event_processor.process_due_events()
    [occurred] = subscriber.heard[-1][1]
    assert occurred.payload == {"shift": shift.pk}
    assert occurred.about == (("hotel.reservation", str(reservation.pk)),)
    assert occurred.occurred_at == clock.now()


def test_expiry_and_cancelling_are_told(subscriber, clock):
    reservation = Reservation.objects.create(checkin_at=clock.now() + HOUR)
    reservation.checkin_at = clock.now() - 48 * HOUR
    reservation.save()
    Event.objects.get(event_name="reservation_confirmed").cancel()
    assert subscriber.kinds()[1:] == ["ended expired", "ended cancelled"]


def test_superseded_immediate_event_is_told(subscriber, clock):
    alarm = Alarm.objects.create(level=9)
    for level in (1, 9):
        alarm.level = level
        alarm.save()
    assert subscriber.kinds() == ["armed", "occurred", "ended superseded", "armed", "occurred"]


def test_subscriber_that_raises_rolls_the_save_back(subscriber):
    subscriber.armed = lambda occurrences, *, using: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Reservation.objects.create()
    assert not Reservation.objects.exists()


def test_subscriber_that_raises_at_one_event_does_not_stop_the_others(subscriber, clock):
    bad = Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    good = Reservation.objects.create(status="confirmed", checkin_at=clock.now())

    def refuse(occurrences, *, using):
        if any(one.entity_id == str(bad.pk) for one in occurrences):
            raise RuntimeError("not this one")

    subscriber.occurred = refuse
    assert event_processor.process_due_events()["events_processed"] == 1
    assert Event.objects.for_entity(good).get(event_name="checkin_due").status == EventStatus.OCCURRED
    event = Event.objects.for_entity(bad).get(event_name="checkin_due")
    assert (event.status, event.next_at) == (EventStatus.PENDING, clock.now() + timedelta(seconds=60))
    assert "not this one" in event.error
