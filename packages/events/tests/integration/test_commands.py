"""The commands that are not about syncing."""

import signal
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from automation.events.callbacks import on_event
from automation.events.looping import run_loop, stop_on_signals
from automation.events.models import Event, EventDelivery
from automation.events.ports import wiring
from automation.events.services import event_processor
from tests.hotel.models import Both, Dog, FirstParent, Reservation, Shift

pytestmark = pytest.mark.django_db(transaction=True)


def run(name, *args, **options):
    out = StringIO()
    call_command(name, *args, stdout=out, **options)
    return out.getvalue()


def test_process_events_once(clock):
    on_event("checkin_due", name="a")(lambda event: None)
    Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    assert run("process_events") == "1 due, 1 occurred, 1 calls made\n"
    assert run("process_events", database="default", hours=1) == "0 due, 0 occurred, 0 calls made\n"


def test_process_events_cleans_up_when_told(clock):
    Reservation.objects.create(status="confirmed").delete()
    clock.advance(days=8)
    assert "2 old events deleted" in run("process_events", cleanup=True, cleanup_days=7)


@pytest.mark.parametrize("error", [OperationalError, ValueError], ids=["database away", "adapter raises"])
def test_loop_goes_on_after_a_failure(error):
    calls = []

    def process():
        calls.append(1)
        if len(calls) == 1:
            raise error
        stop.set()

    class Impatient(threading.Event):
        def wait(self, timeout=None):
            calls.append(timeout)
            return self.is_set()

    stop = Impatient()
    run_loop(process, lambda: None, stop=stop, poll=timedelta(seconds=5))
    assert calls[0] == 1
    assert 0 < calls[1] <= 2
    assert calls[2:] == [1, 5]


@pytest.mark.parametrize(
    ("due_in", "waited"),
    [(None, 60), (7, 7), (300, 60), (0, 0.05), (-5, 0.05)],
    ids=["nothing due", "due before the next look", "due after it", "due now", "held by somebody"],
)
def test_loop_sleeps_until_the_next_due_time(clock, due_in, waited):
    waits = []

    class Counting(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            self.set()

    moment = None if due_in is None else clock.now() + timedelta(seconds=due_in)
    run_loop(lambda: None, lambda: moment, stop=Counting(), poll=timedelta(seconds=60))
    assert waits == [waited]


def test_loop_lets_go_of_broken_and_old_connections_before_each_look(monkeypatch):
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: done.append("let go"))
    done = []
    stop = threading.Event()

    def process():
        done.append("looked")
        if done.count("looked") == 2:
            stop.set()

    run_loop(process, lambda: None, stop=stop, poll=timedelta(milliseconds=1))
    assert done == ["let go", "looked"] * 2


def test_first_signal_asks_the_loop_to_stop_and_a_second_interrupt_is_one():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_stop_is_asked_between_two_calls(clock):
    made = []
    for number in range(3):
        on_event("checkin_due", name=str(number))(lambda event: made.append(1))
    Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    event_processor.process_due_events(stop=lambda: len(made) == 1)
    assert len(made) == 1
    event_processor.process_due_events()
    assert len(made) == 3


def test_erase_empties_what_is_stored_about_an_entity(clock):
    def fail(event):
        raise ValueError("Jane Doe")

    on_event("shift_started", name="a")(fail)
    reservation = Reservation.objects.create()
    shift = Shift.objects.create(starts_at=clock.now(), staffed=True, reservation=reservation)
    event_processor.process_due_events()
    wiring.erasers["workflows"] = lambda entity_type, entity_id: 7
    try:
        out = run("automation_erase", "hotel.Shift", str(shift.pk))
    finally:
        del wiring.erasers["workflows"]
    assert out == "events: 1 rows emptied\nworkflows: 7 rows emptied\n"
    event = Event.objects.for_entity(shift).get()
    assert (event.payload, event.status) == (None, "occurred")
    assert EventDelivery.objects.get().error == ""
    shift.save()
    assert event_processor.process_due_events()["events_processed"] == 0


def test_erase_reaches_events_that_are_about_the_entity(clock):
    reservation = Reservation.objects.create()
    Shift.objects.create(starts_at=clock.now(), staffed=True, reservation=reservation)
    event_processor.process_due_events()
    run("automation_erase", "hotel.Reservation", str(reservation.pk))
    assert Event.objects.get(event_name="shift_started").payload is None


def test_erase_reaches_what_is_stored_under_the_parents_of_an_entity():
    dog, first, both = Dog.objects.create(), FirstParent.objects.create(), Both.objects.create()
    assert both.first_id != both.second_id
    Event.objects.update(payload={"secret": 1})
    run("automation_erase", "hotel.Dog", str(dog.pk))
    run("automation_erase", "hotel.Both", str(both.pk))
    kept = Event.objects.filter(payload__isnull=False)
    assert set(kept.values_list("entity_type", "entity_id")) == {("hotel.firstparent", str(first.pk))}


def test_erase_reaches_what_is_stored_under_the_children_of_an_entity():
    """One row is one entity, whichever of its models is named."""
    dog, other = Dog.objects.create(), Dog.objects.create()
    Event.objects.update(payload={"name": "Ada"})

    run("automation_erase", "hotel.Animal", str(dog.pk))

    kept = Event.objects.filter(payload__isnull=False)
    assert set(kept.values_list("entity_type", "entity_id")) == {
        ("hotel.animal", str(other.pk)),
        ("hotel.dog", str(other.pk)),
    }


def test_erase_needs_a_model():
    with pytest.raises(CommandError, match="not an installed model"):
        run("automation_erase", "no.Such", "1")


@pytest.mark.parametrize("command", [("process_events",), ("process_events", "--loop"), ("sync_events",)])
@pytest.mark.parametrize("given", ["typed", "by keyword"])
def test_unknown_database_is_refused_by_name(command, given):
    arguments = ["--database", "nope"] if given == "typed" else []
    options = {} if given == "typed" else {"database": "nope"}
    message = r"There is no database 'nope' in DATABASES\. Configured: 'default', 'other'"
    with pytest.raises(CommandError, match=message):
        run(*command, *arguments, **options)


def test_cleaning_up_says_all_that_it_did():
    assert "0 old events deleted, 0 emptied, 0 old calls deleted" in run("process_events", "--cleanup")
