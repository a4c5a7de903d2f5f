"""Calls: each exactly once as far as the database goes, whatever others do."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from automation.events import signals
from automation.events.callbacks import on_event, on_event_cancelled
from automation.events.delivering import make
from automation.events.inline import held
from automation.events.models import DeliveryStatus, Event, EventDelivery
from automation.events.rerunning import run_again
from automation.events.services import event_processor
from tests.hotel.models import Ledger, Reservation, Shift, UniqueLedger

pytestmark = pytest.mark.django_db(transaction=True)


def entries():
    return sorted(Ledger.objects.values_list("entry", flat=True))


def note(text):
    Ledger.objects.create(entry=text)


def confirm():
    return Reservation.objects.create(status="confirmed")


def delivery(name):
    return EventDelivery.objects.get(callback=name)


def raise_it(error):
    raise error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SystemExit(3),
        asyncio.CancelledError(),
        ExceptionGroup("many", [ValueError()]),
        StopIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_callback_that_raises_touches_no_other(error):
    on_event("reservation_confirmed", name="a")(lambda event: note("a"))
    on_event("reservation_confirmed", name="bad")(lambda event: (note("bad"), raise_it(error)))
    on_event("reservation_confirmed", name="c")(lambda event: note("c"))
    reservation = confirm()
    assert Reservation.objects.filter(pk=reservation.pk).exists()
    assert entries() == ["a", "c"], "its own writes were rolled back, the others' were not"
    bad = delivery("bad")
    assert (bad.status, bad.attempts) == (DeliveryStatus.PENDING, 1)
    assert type(error).__name__ in bad.error


def test_interrupt_is_recorded_and_passed_on():
    on_event("reservation_confirmed", name="stop")(lambda event: raise_it(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        confirm()
    assert "KeyboardInterrupt" in delivery("stop").error
    assert delivery("stop").claim is None


def test_time_limit_of_a_queue_is_recorded_and_passed_on(clock):
    class TimeLimit(SystemExit):
        pass

    on_event("reservation_confirmed", name="slow")(lambda event: raise_it(TimeLimit()))
    with pytest.raises(TimeLimit):
        confirm()
    assert "TimeLimit" in delivery("slow").error


def test_error_whose_text_cannot_be_shown_or_stored_is_recorded():
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError

    on_event("reservation_confirmed", name="mute")(lambda event: raise_it(Unspeakable()))
    on_event("reservation_confirmed", name="odd")(lambda event: raise_it(ValueError("\x00 \ud800 " + "x" * 100_000)))
    confirm()
    assert "cannot be shown" in delivery("mute").error
    assert "\\x00" in delivery("odd").error
    assert len(delivery("odd").error) == 32768


def test_callback_that_breaks_its_transaction_is_a_failed_try():
    @on_event("reservation_confirmed", name="broken")
    def broken(event):
        note("lost")
        UniqueLedger.objects.create(entry="x")
        with suppress(IntegrityError):
            UniqueLedger.objects.create(entry="x")
        Ledger.objects.count()

    on_event("reservation_confirmed", name="sound")(lambda event: note("sound"))
    confirm()
    broken_one = delivery("broken")
    assert delivery("sound").status == DeliveryStatus.DELIVERED
    if broken_one.status == DeliveryStatus.PENDING:  # databases that abort the transaction at an error
        assert entries() == ["sound"]
        assert "nested transaction.atomic()" in broken_one.error


def test_failure_is_retried_with_growing_pauses_and_then_stays_visible(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 3, "RETRY_JITTER": 0}
    failed = []
    signals.delivery_failed.connect(receiver := lambda delivery, final, **_: failed.append(final), weak=False)
    on_event("reservation_confirmed", name="bad")(lambda event: raise_it(ValueError("no")))
    confirm()
    pauses = []
    while delivery("bad").status == DeliveryStatus.PENDING:
        pauses.append(delivery("bad").next_at - clock.now())
        assert event_processor.process_due_events()["deliveries_made"] == 0
        clock.moment = delivery("bad").next_at
        event_processor.process_due_events()
    signals.delivery_failed.disconnect(receiver)
    assert pauses == [timedelta(seconds=20), timedelta(seconds=40)]
    assert (delivery("bad").status, delivery("bad").attempts, delivery("bad").next_at) == ("failed", 3, None)
    assert failed == [False, False, True]


def test_what_failed_together_is_not_tried_together(clock):
    on_event("reservation_confirmed", name="bad")(lambda event: raise_it(ValueError("no")))
    for _ in range(5):
        confirm()
    pauses = {one.next_at - clock.now() for one in EventDelivery.objects.filter(callback="bad")}
    assert len(pauses) == 5
    assert all(timedelta(seconds=20) <= pause <= timedelta(seconds=22) for pause in pauses)


def test_failed_delivery_can_be_run_again(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}
    healthy = False
    on_event("reservation_confirmed", name="bad")(lambda event: note("ok") if healthy else raise_it(ValueError()))
    confirm()
    assert delivery("bad").status == DeliveryStatus.FAILED
    healthy = True
    assert run_again([delivery("bad")]) == 1
    assert run_again([delivery("bad")]) == 0
    event_processor.process_due_events()
    assert (entries(), delivery("bad").status) == (["ok"], DeliveryStatus.DELIVERED)


def test_effects_before_a_raise_are_rolled_back_unless_not_atomic():
    on_event("reservation_confirmed", name="open", atomic=False)(lambda event: (note("kept"), raise_it(ValueError())))
    confirm()
    assert entries() == ["kept"]


def test_atomic_callback_runs_in_a_transaction_and_the_other_does_not():
    seen = {}
    on_event("reservation_confirmed", name="in")(
        lambda event: seen.update(inside=transaction.get_connection().in_atomic_block)
    )
    on_event("reservation_confirmed", name="out", atomic=False)(
        lambda event: seen.update(outside=transaction.get_connection().in_atomic_block)
    )
    confirm()
    assert seen == {"inside": True, "outside": False}


def test_async_callback_shares_the_connection_and_the_transaction():
    @on_event("reservation_confirmed", name="async_bad")
    async def bad(event):
        await Ledger.objects.acreate(entry="rolled back")
        raise ValueError

    @on_event("reservation_confirmed", name="async_good")
    async def good(event):
        await Ledger.objects.acreate(entry="kept")

    confirm()
    assert entries() == ["kept"]


def test_asave_arms_events_as_save_does():
    on_event("reservation_confirmed", name="a")(lambda event: note("a"))

    async def save():
        await Reservation(status="confirmed").asave()

    from asgiref.sync import async_to_sync

    async_to_sync(save)()
    assert entries() == ["a"]


def test_crash_between_claim_and_end_is_taken_over_when_the_claim_ends(clock):
    class Killed(BaseException):
        pass

    def die(delivery, error, *, using):
        raise Killed

    on_event("reservation_confirmed", name="a")(lambda event: raise_it(Killed()) if dying else note("a"))
    on_event("reservation_confirmed", name="b")(lambda event: note("b"))
    dying = True
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr("automation.events.delivering._record_failure", die)
        confirm()
    dying = False
    assert delivery("a").claim is not None
    event_processor.process_due_events()
    assert entries() == ["b"], "what the dead process had not begun is taken over at once"
    clock.advance(minutes=5)
    event_processor.process_due_events()
    assert entries() == ["a", "b"]
    assert delivery("a").attempts == 2


def test_delivery_that_kills_every_process_is_given_up(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 2}
    on_event("reservation_confirmed", name="a")(lambda event: note("a"))
    confirm()
    EventDelivery.objects.update(status="pending", attempts=2, next_at=clock.now())
    event_processor.process_due_events()
    assert (delivery("a").status, entries()) == (DeliveryStatus.FAILED, ["a"])
    assert "died or hung" in delivery("a").why


def test_process_that_lost_its_claim_rolls_back(clock):
    """It hung beyond its claim and another took the call over; when it wakes up it must leave no effect."""
    hanging = True

    @on_event("reservation_confirmed", name="slow")
    def slow(event):
        note("effect")
        if hanging:
            EventDelivery.objects.update(claim=uuid4())

    confirm()
    assert entries() == []
    hanging = False
    clock.advance(minutes=5)
    event_processor.process_due_events()
    assert entries() == ["effect"]


def test_duplicate_messages_deliver_once(clock):
    on_event("reservation_confirmed", name="a")(lambda event: note("a"))
    confirm()
    ids = list(EventDelivery.objects.values_list("pk", flat=True))
    assert event_processor.deliver(ids, using="default") == 0
    assert event_processor.deliver(ids, using="default") == 0
    assert entries() == ["a"]


def test_call_that_another_process_has_tried_meanwhile_is_not_made_from_what_was_read_before(clock):
    """Its next try may be due by then: the one that was read has been made."""
    on_event("reservation_confirmed", name="bad")(lambda event: raise_it(ValueError("no")))
    with held():
        confirm()
    read_before = delivery("bad")
    event_processor.process_due_events()
    clock.advance(hours=1)
    assert not make(read_before, using="default")
    assert delivery("bad").attempts == 1


def test_message_for_a_delivery_that_is_no_more_does_nothing():
    """A backup was restored, and the queue remembers what the database does not."""
    assert event_processor.deliver([uuid4()], using="default") == 0


def test_event_that_nobody_listens_to_owes_nothing():
    confirm()
    event_processor.process_due_events()
    assert not EventDelivery.objects.exists()


def test_calls_that_fail_do_not_hold_up_those_that_are_sound(clock):
    """Half of what is due fails; the sound half is made in the same poll, and the next poll finds nothing due."""

    @on_event("checkin_due", name="some")
    def fail_for_some(event):
        if int(event.entity.note) % 2:
            raise ValueError("poison")
        note(event.entity.note)

    for number in range(40):
        Reservation.objects.create(status="confirmed", checkin_at=clock.now(), note=str(number))
    event_processor.process_due_events()
    assert len(entries()) == 20
    assert event_processor.process_due_events()["deliveries_made"] == 0


def test_inline_work_stops_at_its_budget_and_leaves_the_rest(clock):
    on_event("reservation_confirmed", name="a")(lambda event: (note("a"), clock.advance(seconds=3)))
    on_event("reservation_confirmed", name="b")(lambda event: note("b"))
    confirm()
    assert entries() == ["a"]
    event_processor.process_due_events()
    assert entries() == ["a", "b"]


def test_missing_callback_is_parked_and_goes_on_when_it_is_back(clock, callbacks):
    on_event("checkin_due", name="a")(lambda event: note("a"))
    Reservation.objects.create(status="confirmed", checkin_at=clock.now())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("automation.events.polling.deliver", lambda *_, **__: (0, True))
        event_processor.process_due_events()
    callbacks.clear()
    event_processor.process_due_events()
    assert (delivery("a").status, delivery("a").attempts) == (DeliveryStatus.PARKED, 0)
    assert "not registered" in delivery("a").why
    on_event("checkin_due", name="a")(lambda event: note("a"))
    event_processor.process_due_events()
    assert entries() == ["a"]


def test_each_callback_has_an_event_of_its_own():
    seen = []
    on_event("reservation_confirmed", name="a")(lambda event: setattr(event.entity, "note", "scribbled"))
    on_event("reservation_confirmed", name="b")(lambda event: seen.append(event.entity.note))
    confirm()
    assert seen == [""]


def test_each_callback_has_a_payload_of_its_own(clock):
    seen = []
    on_event("shift_started", name="a")(lambda event: event.payload.clear())
    on_event("shift_started", name="b")(lambda event: seen.append(event.payload))
    shift = Shift.objects.create(starts_at=clock.now(), staffed=True)
    event_processor.process_due_events()
    assert seen == [{"shift": shift.pk}]


def test_callback_sees_the_entity_as_it_is_when_called():
    """Also after a call that had read the entity itself."""
    seen = []
    on_event("reservation_confirmed", name="a")(lambda event: seen.append(event.entity.note))
    event = Event.objects.for_entity(Reservation.objects.create()).get(event_name="reservation_confirmed")
    with transaction.atomic():
        event.mark_as_occurred()
        Reservation.objects.update(note="newer")
    assert seen == ["newer"]


def test_new_callback_does_not_replay_the_past():
    confirm()
    on_event("reservation_confirmed", name="a")(lambda event: note("a"))
    event_processor.process_due_events()
    assert entries() == []


def test_signals_tell_of_occurrences_and_raising_receivers_harm_nobody(caplog):
    heard = []

    def hear(event, **_):
        heard.append(event.event_name)
        raise RuntimeError

    signals.event_occurred.connect(hear)
    try:
        confirm()
    finally:
        signals.event_occurred.disconnect(hear)
    assert heard == ["reservation_confirmed"]


@pytest.mark.parametrize("name", ["event_occurred", "event_cancelled", "delivery_succeeded", "delivery_failed"])
def test_receiver_that_raises_keeps_nothing_from_being_done_at_once(clock, name):
    heard, chain = [], [Reservation(status="confirmed")]

    def hear(**_):
        heard.append(name)
        raise RuntimeError

    def confirm_another(event):
        note("b")
        if chain:
            chain.pop().save()

    on_event("reservation_confirmed", name="a")(lambda event: raise_it(ValueError("no")))
    on_event("reservation_confirmed", name="b")(confirm_another)
    on_event("reservation_confirmed", name="c")(lambda event: note("c"))
    on_event_cancelled("checkin_due", name="d")(lambda event: note("d"))
    getattr(signals, name).connect(hear)
    try:
        Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(hours=1)).delete()
    finally:
        getattr(signals, name).disconnect(hear)
    assert heard
    assert entries() == ["b", "b", "c", "c", "d"]


def test_what_happens_to_events_is_logged_with_their_ids(clock, caplog):
    caplog.set_level("INFO", "automation.events")
    with transaction.atomic():
        reservation = Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(hours=1))
    due = Event.objects.get(event_name="checkin_due")
    confirmed = Event.objects.get(event_name="reservation_confirmed")
    reservation.delete()
    told = [(one.event_id, one.getMessage()) for one in caplog.records if one.name == "automation.events"]
    assert told[0] == (str(confirmed.pk), "Event reservation_confirmed occurred.")
    assert [(key, text.startswith("Event checkin_due was cancelled: ")) for key, text in told[1:]] == [
        (str(due.pk), True)
    ]


def test_failure_is_logged_with_its_ids(caplog):
    on_event("reservation_confirmed", name="bad")(lambda event: raise_it(ValueError("no")))
    confirm()
    [record] = [one for one in caplog.records if one.name == "automation.events"]
    assert record.levelname == "WARNING"
    assert record.getMessage() == "Try 1 of callback bad failed."
    assert record.event_id == str(Event.objects.get(event_name="reservation_confirmed").pk)


def test_callback_may_save_its_own_entity():
    @on_event("reservation_confirmed", name="touch")
    def touch(event):
        entity = event.entity
        entity.note = "touched"
        entity.save()

    confirm()
    assert Reservation.objects.get().note == "touched"
    assert delivery("touch").status == DeliveryStatus.DELIVERED


@pytest.fixture
def failures():
    heard = []
    signals.delivery_failed.connect(
        receiver := lambda delivery, error, final, **_: heard.append((delivery.status, type(error).__name__, final)),
        weak=False,
    )
    yield heard
    signals.delivery_failed.disconnect(receiver)


def test_call_that_took_down_every_process_is_told_of_and_logged(clock, settings, failures, caplog):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 2}
    on_event("reservation_confirmed", name="deadly")(lambda event: None)
    confirm()
    EventDelivery.objects.update(status="pending", attempts=2, next_at=clock.now())
    event_processor.process_due_events()
    assert failures == [("failed", "ProcessLost", True)]
    assert "none is left" in caplog.text


@pytest.mark.parametrize("atomic", [True, False])
def test_lost_claim_is_told_of_and_logged(failures, caplog, atomic):
    @on_event("reservation_confirmed", name="slow", atomic=atomic)
    def slow(event):
        note("written")
        EventDelivery.objects.update(claim=uuid4())

    confirm()
    assert entries() == ([] if atomic else ["written"]), "whoever took it over writes it"
    assert failures == [("pending", "ClaimLost", False)]
    assert "took longer than its claim" in caplog.text


def test_failed_calls_are_found_and_run_again(clock, settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}
    troubles = [ValueError("one"), ValueError("two")]

    @on_event("reservation_confirmed", name="a")
    def a(event):
        if troubles:
            raise troubles.pop()
        note(event.entity_id)

    first, second = confirm(), confirm()
    one, other = EventDelivery.objects.failed().order_by("pk")
    assert one.run_again()
    assert (one.status, one.attempts) == ("pending", 0)
    assert not one.run_again(), "it has not failed any more"
    assert EventDelivery.objects.filter(event=other.event).run_again() == 1
    event_processor.process_due_events()
    assert entries() == sorted([str(first.pk), str(second.pk)])
    assert not EventDelivery.objects.failed().exists()
