"""A worker that dies at a named point leaves what a killed process leaves: nothing recorded, and everything owed."""

from datetime import timedelta

import pytest

from automation.events import faults, inline
from automation.events.callbacks import callback_registry
from automation.events.models import Event, EventDelivery
from automation.events.services import event_processor
from tests.hotel.models import Ledger, Reservation

pytestmark = pytest.mark.django_db(transaction=True)

AT_A_CALL = [point for point in faults.POINTS if point.startswith("callback.") and "failure" not in point]
BEFORE_THE_COMMIT = {"callback.after_claim", "callback.before_body", "callback.after_body", "callback.before_commit"}


class Killed(BaseException):
    is_simulated_crash = True


def die(subject):
    raise Killed(subject)


def note(event):
    Ledger.objects.create(entry=event.event_name)


def fail(event):
    raise RuntimeError("no")


@pytest.fixture
def due(clock, request):
    """Return an event that a look would let occur now, with one call."""
    callback_registry.register(getattr(request, "param", note), "checkin_due", name="point")
    Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(hours=1))
    clock.advance(hours=1)
    return Event.objects.get(event_name="checkin_due")


def look_and_die(point):
    with faults.injected(point, die), pytest.raises(Killed) as killed:
        event_processor.process_due_events()
    return str(killed.value)


@pytest.mark.parametrize("point", AT_A_CALL)
def test_a_call_whose_worker_dies_leaves_no_trace_or_is_complete(due, clock, point):
    assert look_and_die(point) == "point"

    delivery = EventDelivery.objects.get()
    assert delivery.error == ""
    if point in BEFORE_THE_COMMIT:
        assert (delivery.status, delivery.attempts, Ledger.objects.count()) == ("pending", 1, 0)
        assert delivery.claim is not None
    clock.advance(minutes=30)
    event_processor.process_due_events()
    assert EventDelivery.objects.get().status == "delivered"
    assert Ledger.objects.count() == 1


@pytest.mark.parametrize("due", [fail], indirect=True)
@pytest.mark.parametrize(("point", "error"), [("callback.before_failure", ""), ("callback.after_failure", "no")])
def test_a_failure_is_recorded_or_not_at_all(due, point, error):
    look_and_die(point)

    delivery = EventDelivery.objects.get()
    assert error in delivery.error
    assert bool(delivery.error) == bool(error)


@pytest.mark.parametrize(("point", "status"), [("event.before_commit", "pending"), ("event.after_commit", "occurred")])
def test_an_occurrence_is_committed_whole_or_not_at_all(due, point, status):
    assert look_and_die(point) == "checkin_due"

    due.refresh_from_db()
    assert (due.status, EventDelivery.objects.count()) == (status, int(status == "occurred"))
    event_processor.process_due_events()
    assert Ledger.objects.count() == 1


def test_every_point_is_passed(due):
    passed = []
    for point in faults.POINTS:
        faults.install(point, lambda subject, point=point: passed.append(point))
    try:
        event_processor.process_due_events()
    finally:
        for point in faults.POINTS:
            faults.uninstall(point)

    assert passed == [point for point in faults.POINTS if "failure" not in point]


def test_an_unknown_point_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'nowhere' is not a fault point\. Points: event\.before_commit"):
        faults.install("nowhere", die)


def test_calls_that_are_held_stay_owed_and_their_events_occur():
    callback_registry.register(note, "reservation_confirmed", name="point")

    with inline.held():
        Reservation.objects.create(status="confirmed")

    assert Event.objects.get(event_name="reservation_confirmed").status == "occurred"
    assert (EventDelivery.objects.get().status, Ledger.objects.count()) == ("pending", 0)
    event_processor.process_due_events()
    assert Ledger.objects.count() == 1
