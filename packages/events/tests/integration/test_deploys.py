"""Deploys that add, change and remove definitions and callbacks."""

from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation.events import declaring
from automation.events.callbacks import on_event, on_event_cancelled
from automation.events.definitions import EventDefinition
from automation.events.models import DeclarationState, Event, EventDelivery
from automation.events.ports import wiring
from automation.events.services import event_processor
from tests.doubles import RecordingDispatcher, RecordingSubscriber, subscribed
from tests.hotel.models import Ledger, Reservation

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def early(name="early", minutes=-60):
    on_event("checkin_due", name=name, offset_minutes=minutes)(lambda event: Ledger.objects.create(entry=name))


def book_in(clock, **by):
    return Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(**by))


def test_new_early_callback_is_owed_for_events_already_ahead(clock, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 3}
    for _ in range(8):
        book_in(clock, hours=5)
    event_processor.process_due_events()
    early()
    event_processor.process_due_events()
    assert EventDelivery.objects.filter(callback="early", status="pending").count() == 8
    clock.advance(hours=4)
    event_processor.process_due_events()
    assert Ledger.objects.count() == 8


def test_new_early_callback_does_not_replay_the_past(clock):
    book_in(clock, hours=1)
    clock.advance(hours=1)
    event_processor.process_due_events()
    early()
    event_processor.process_due_events()
    assert not EventDelivery.objects.exists()


def test_new_scheduled_definition_is_armed_for_existing_rows(clock, deploy):
    event_processor.process_due_events()
    book_in(clock, hours=5)
    deploy(
        [
            *Reservation.events,
            EventDefinition("new_due", date_field="checkin_at"),
            EventDefinition("new_now", condition=lambda r: True),
        ]
    )
    event_processor.process_due_events()
    assert Event.objects.get(event_name="new_due").at == clock.now() + 5 * HOUR
    assert not Event.objects.filter(event_name="new_now").exists(), "immediate ones wait for a save"


def test_first_look_ever_leaves_adoption_to_sync_events(clock):
    Reservation.objects.bulk_create([Reservation(checkin_at=clock.now() + HOUR)])
    event_processor.process_due_events()
    assert not Event.objects.exists()


def test_sync_events_withdraws_what_is_gone_and_calls_nobody(clock, deploy):
    heard = []
    on_event_cancelled(name="heard")(lambda event: heard.append(event.event_name))
    early()
    reservation = book_in(clock, hours=5)
    deploy([Reservation.events[0]])
    call_command("sync_events", verbosity=0)
    event = Event.objects.for_entity(reservation).get(event_name="checkin_due")
    assert (event.status, event.why) == ("cancelled", "its definition is no longer in the code")
    assert EventDelivery.objects.get(callback="early").status == "cancelled"
    assert heard == []


def test_sync_events_withdraws_calls_of_callbacks_that_are_gone(clock, callbacks):
    early()
    book_in(clock, hours=5)
    callbacks.clear()
    early("earlier", -120)
    call_command("sync_events", verbosity=0)
    assert dict(EventDelivery.objects.values_list("callback", "status")) == {"early": "cancelled", "earlier": "pending"}


def test_dry_run_of_sync_events_counts_what_a_deploy_changes_and_changes_nothing(clock, callbacks, deploy):
    def everything():
        return [
            sorted(rows.values_list())
            for rows in (Event.objects.all(), EventDelivery.objects.all(), DeclarationState.objects.all())
        ]

    early()
    book_in(clock, hours=5)
    call_command("sync_events", verbosity=0)
    before = everything()
    callbacks.clear()
    early("earlier", -120)
    said = StringIO()
    call_command("sync_events", dry_run=True, stdout=said)
    assert "default: 0 events and 1 calls would be withdrawn" in said.getvalue()
    deploy([Reservation.events[0]])
    call_command("sync_events", dry_run=True, stdout=said)
    assert "default: 1 events and 1 calls would be withdrawn" in said.getvalue()
    assert everything() == before


def test_call_withdrawn_by_a_deploy_is_owed_again_when_another_brings_it_back(clock, callbacks):
    """A deploy that is rolled back must leave nothing undone."""

    def register():
        on_event("checkin_due", name="early", offset_minutes=-60)(lambda event: Ledger.objects.create(entry="early"))

    register()
    Reservation.objects.create(status="confirmed", checkin_at=clock.now() + timedelta(hours=3))
    callbacks.unregister("early")
    call_command("sync_events", verbosity=0)
    register()
    for _ in range(2):
        call_command("sync_events", verbosity=0)
    assert sorted(EventDelivery.objects.values_list("status", flat=True)) == ["cancelled", "pending"]
    clock.advance(hours=2)
    event_processor.process_due_events()
    assert Ledger.objects.filter(entry="early").count() == 1


def test_changed_offset_moves_the_call_with_sync_events(clock, callbacks):
    early()
    book_in(clock, hours=5)
    callbacks.clear()
    early(minutes=-90)
    call_command("sync_events", verbosity=0)
    assert EventDelivery.objects.get(status="pending").due_at == clock.now() + timedelta(hours=3.5)
    clock.advance(hours=5)
    event_processor.process_due_events()
    assert Ledger.objects.count() == 1


@pytest.mark.parametrize("synced", [False, True], ids=["polled", "synced"])
@pytest.mark.parametrize("minutes", [-30, -90])
def test_changed_offset_of_a_callback_calls_it_once_at_its_new_time(clock, callbacks, synced, minutes):
    early()
    reservation = book_in(clock, hours=5)
    event_processor.process_due_events()
    callbacks.clear()
    early(minutes=minutes)
    if synced:
        call_command("sync_events", verbosity=0)

    made_at = poll_each_half_hour(clock, 12)
    assert made_at == [reservation.checkin_at + timedelta(minutes=minutes)]


@pytest.mark.parametrize("synced", [False, True], ids=["polled", "synced"])
@pytest.mark.parametrize("minutes", [-30, -120])
def test_offset_that_changes_when_the_call_was_made_does_not_make_it_again(clock, callbacks, synced, minutes):
    early(minutes=-90)
    book_in(clock, hours=5)
    assert len(poll_each_half_hour(clock, 8)) == 1
    callbacks.clear()
    early(minutes=minutes)
    if synced:
        call_command("sync_events", verbosity=0)

    poll_each_half_hour(clock, 6)
    assert Ledger.objects.count() == 1


def test_offset_that_is_added_beside_another_is_called_as_well(clock, callbacks):
    @on_event("checkin_due", name="early", offset_minutes=-90)
    def early(event):
        Ledger.objects.create(entry="early")

    book_in(clock, hours=5)
    event_processor.process_due_events()
    on_event("checkin_due", name="early", offset_minutes=-30)(early)
    poll_each_half_hour(clock, 12)
    assert Ledger.objects.count() == 2


def test_early_call_that_the_release_before_has_made_ready_at_another_offset_is_made_once(clock, older_release):
    """A process of the older release arms it after the new release has caught up."""
    early(minutes=-90)
    event_processor.process_due_events()
    with older_release():
        early(minutes=-60)
        reservation = book_in(clock, hours=5)

    made_at = poll_each_half_hour(clock, 12)
    assert len(made_at) == 1
    assert made_at[0] < reservation.checkin_at


def poll_each_half_hour(clock, times):
    """Return when calls were made."""
    made_at = []
    for _ in range(times):
        before = Ledger.objects.count()
        for _ in range(2):
            event_processor.process_due_events()
        made_at += [clock.now()] * (Ledger.objects.count() - before)
        clock.advance(minutes=30)
    return made_at


def test_what_an_event_owes_that_has_occurred_waits_for_its_callback(clock, callbacks):
    early("after", 60)
    book_in(clock, hours=0)
    event_processor.process_due_events()
    callbacks.clear()
    call_command("sync_events", verbosity=0)
    clock.advance(hours=2)
    event_processor.process_due_events()
    assert EventDelivery.objects.get().status == "parked"
    early("after", 60)
    event_processor.process_due_events()
    assert Ledger.objects.count() == 1


def test_sync_events_withdraws_calls_of_a_callback_that_is_for_another_event_now(clock, callbacks):
    early()
    book_in(clock, hours=5)
    callbacks.clear()
    on_event("timed_due", name="early", offset_minutes=-60)(lambda event: Ledger.objects.create(entry="early"))
    out = StringIO()
    call_command("sync_events", dry_run=True, stdout=out)
    assert "default: 0 events and 1 calls would be withdrawn" in out.getvalue()
    call_command("sync_events", verbosity=0)
    assert EventDelivery.objects.get().status == "cancelled"


def test_parked_call_that_is_taken_back_is_not_early(clock, callbacks, older_release):
    """Parked at its time, moved meanwhile by a process that knows it."""
    early()
    reservation = book_in(clock, hours=5)
    clock.advance(hours=4)
    with older_release():
        event_processor.process_due_events()
        assert EventDelivery.objects.get().status == "parked"
    moved(reservation, clock.now() + 24 * HOUR)
    event_processor.process_due_events()
    call = EventDelivery.objects.get()
    assert (Ledger.objects.count(), call.status, call.next_at) == (0, "pending", reservation.checkin_at - HOUR)


def test_call_parked_for_another_phase_stays_parked(clock, callbacks):
    on_event_cancelled(name="phase")(lambda event: None)
    book_in(clock, hours=5).delete()
    EventDelivery.objects.update(status="pending", attempts=0, next_at=clock.now(), finished_at=None)
    callbacks.clear()
    early("phase", 0)
    event_processor.process_due_events()
    before = list(EventDelivery.objects.values())
    assert {one["status"] for one in before} == {"parked"}
    with CaptureQueriesContext(connection) as found:
        event_processor.process_due_events(using="default")
    assert list(EventDelivery.objects.values()) == before
    assert len([one for one in found if "UPDATE" in one["sql"]]) <= 1, "it does not go to and fro at each look"


class Derived(RecordingSubscriber):
    """Its fingerprint stands for a release: whatever is changed in the code."""

    fingerprint = "one"


def test_subscriber_with_a_changed_fingerprint_hears_again_of_what_lies_ahead(clock):
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        subscriber.heard.clear()
        event_processor.process_due_events()
        assert subscriber.heard == []
        subscriber.fingerprint = "two"
        event_processor.process_due_events()
    assert [(kind, [one.event_name for one in ones]) for kind, ones in subscriber.heard] == [("armed", ["checkin_due"])]


class Deriving(RecordingSubscriber):
    fingerprint = "one"
    gone = 2

    def derived(self, occurrences, *, using):
        self.heard.append(("derived", list(occurrences)))

    def withdraw(self, *, dry_run):
        self.heard.append(("counted" if dry_run else "withdrawn", []))
        return self.gone


def test_subscriber_that_follows_the_code_hears_what_is_announced_again_apart(clock):
    with subscribed(Deriving()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        subscriber.heard.clear()
        subscriber.fingerprint = "two"
        event_processor.process_due_events()
    assert [(kind, [one.event_name for one in ones]) for kind, ones in subscriber.heard] == [
        ("derived", ["checkin_due"])
    ]


@pytest.mark.parametrize(("options", "heard"), [({}, ["withdrawn"]), ({"dry_run": True}, ["counted"])])
def test_sync_events_lets_a_subscriber_take_back_what_is_gone_once(clock, options, heard):
    with subscribed(Deriving()) as subscriber:
        call_command("sync_events", stdout=StringIO(), **options)
    assert [kind for kind in subscriber.kinds() if kind != "derived"] == heard


def test_sync_events_of_some_models_takes_nothing_back(clock):
    with subscribed(Deriving()) as subscriber:
        call_command("sync_events", Reservation._meta.label, stdout=StringIO())
    assert subscriber.heard == []


def released(subscriber, fingerprint):
    """Let a process of this release look once."""
    subscriber.fingerprint = fingerprint
    event_processor.process_due_events(using="default")


def test_two_releases_that_poll_in_turn_do_not_keep_each_other_from_catching_up(clock, older_release, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 1}
    for _ in range(declaring.CHUNKS + 5):
        book_in(clock, hours=5)
    event_processor.process_due_events()
    early()
    for _ in range(8):
        event_processor.process_due_events()
        with older_release():
            event_processor.process_due_events()
    assert EventDelivery.objects.filter(callback="early", status="pending").count() == declaring.CHUNKS + 5


def test_releases_that_poll_in_turn_catch_up_once_each(clock):
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        subscriber.heard.clear()
        for _ in range(4):
            for fingerprint in ("two", "three", "one"):
                released(subscriber, fingerprint)
    assert subscriber.kinds() == ["armed", "armed"], "once for the second release, once for the third"


def test_release_that_comes_back_catches_up_when_the_other_is_done_and_quiet(clock, settings):
    settings.AUTOMATION_EVENTS = {"DEPLOY_GRACE": timedelta(minutes=10)}
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        released(subscriber, "two")
        subscriber.heard.clear()
        clock.advance(minutes=9)
        released(subscriber, "one")
        assert subscriber.heard == []
        clock.advance(minutes=1)
        released(subscriber, "one")
        assert subscriber.kinds() == ["armed"]
        released(subscriber, "two")
        assert subscriber.kinds() == ["armed"], "now the other one waits"


def test_release_that_is_rolled_back_after_sync_events_catches_up_at_once_and_once(clock):
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        subscriber.fingerprint = "two"
        call_command("sync_events", verbosity=0)
        subscriber.heard.clear()
        for fingerprint in ("one", "two", "one"):
            released(subscriber, fingerprint)
    assert subscriber.kinds() == ["armed"]


def test_catching_up_asks_for_another_look_at_once_only_where_it_goes_on(clock, settings):
    """Else two releases that ask in turn would keep the executor busy without end."""
    settings.AUTOMATION_EVENTS = {"BATCH": 1}
    dispatcher = RecordingDispatcher()
    with subscribed(Derived()) as subscriber, wiring.override(dispatcher=dispatcher):
        for _ in range(declaring.CHUNKS + 5):
            book_in(clock, hours=5)
        event_processor.process_due_events()
        asked = {}
        for turn, fingerprint in enumerate(["two", "one", "two"]):
            dispatcher.hints.clear()
            released(subscriber, fingerprint)
            asked[turn] = clock.now() in dispatcher.hints
    assert asked == {0: False, 1: False, 2: True}


def test_process_that_is_overtaken_while_it_catches_up_leaves_the_state_to_the_other(clock):
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        subscriber.armed = lambda *_, **__: DeclarationState.objects.update(fingerprint="of another release")
        released(subscriber, "two")
    assert DeclarationState.objects.get().fingerprint == "of another release"


def test_failing_catch_up_does_not_hold_up_what_is_due(clock, monkeypatch):
    book_in(clock, hours=0)

    def fail(**_):
        raise RuntimeError

    monkeypatch.setattr("automation.events.polling.catch_up", fail)
    assert event_processor.process_due_events()["events_processed"] == 1


@pytest.fixture
def older_release(callbacks):
    """A process of the release before, which does not know the callbacks yet."""

    @contextmanager
    def process():
        known = dict(callbacks._subscriptions)
        callbacks.clear()
        yield
        callbacks._subscriptions.update(known)

    return process


GRACE = timedelta(minutes=15)


def caught_up(by):
    """Let the new release catch up, by its processor or by the step of the deploy."""
    early()
    if by == "sync_events":
        call_command("sync_events", verbosity=0)
    event_processor.process_due_events(using="default")


@pytest.mark.parametrize("by", ["poll", "sync_events"])
def test_event_that_the_release_before_has_armed_after_the_catching_up_gets_its_early_call(clock, older_release, by):
    book_in(clock, hours=5)
    with older_release():
        event_processor.process_due_events()
    caught_up(by)
    with older_release():
        late = book_in(clock, hours=5)
    calls = EventDelivery.objects.filter(callback="early", event__entity_id=str(late.pk))

    clock.advance(seconds=GRACE.total_seconds() - 1)
    event_processor.process_due_events()
    assert not calls.exists(), "the old release may still be at work, and what it saves would be missed again"
    clock.advance(seconds=1)
    event_processor.process_due_events()
    assert calls.get().due_at == late.checkin_at - HOUR

    for _ in range(12):
        event_processor.process_due_events()
        clock.advance(minutes=30)
    assert Ledger.objects.count() == 2, "one for each, also for that which had its call from the first"


def caught_up_twice(clock):
    """A deploy is over, by all that the new release can know."""
    event_processor.process_due_events()
    clock.advance(seconds=GRACE.total_seconds())
    event_processor.process_due_events()


@pytest.mark.parametrize("synced", [False, True])
def test_early_call_of_what_the_release_before_has_armed_after_both_catch_ups(clock, older_release, synced):
    """It comes at the occurrence, once; in its time only with `sync_events`, whatever is saved or moved."""
    with older_release():
        event_processor.process_due_events()
    early()
    caught_up_twice(clock)
    with older_release():
        late = book_in(clock, hours=4)
    late.save()
    moved(late, late.checkin_at + HOUR)
    if synced:
        call_command("sync_events", verbosity=0)

    made = []
    for _ in range(7):
        event_processor.process_due_events()
        made.append(Ledger.objects.count())
        clock.advance(hours=1)
    assert made == ([0, 0, 0, 0, 1, 1, 1] if synced else [0, 0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("saved_after", "occurred_after"),
    [
        pytest.param(timedelta(0), 5 * HOUR, id="before its date"),
        pytest.param(9 * HOUR, 9 * HOUR, id="soon after it"),
        pytest.param(40 * HOUR, None, id="when it has expired"),
        pytest.param(None, None, id="never"),
    ],
)
def test_event_that_the_release_before_does_not_declare_waits_for_a_save(clock, deploy, saved_after, occurred_after):
    event_processor.process_due_events()
    older, newer = list(Reservation.events), [*Reservation.events, EventDefinition("new_due", date_field="checkin_at")]
    deploy(newer)
    caught_up_twice(clock)
    deploy(older)
    late = book_in(clock, hours=5)
    deploy(newer)

    began, occurred = clock.now(), None
    for hours in range(48):
        if saved_after == hours * HOUR:
            late.save()
        event_processor.process_due_events()
        if occurred is None and Event.objects.filter(event_name="new_due", status="occurred").exists():
            occurred = clock.now() - began
        clock.advance(hours=1)
    assert occurred == occurred_after
    expired = Event.objects.filter(event_name="new_due", status="expired")
    assert expired.exists() is (saved_after is not None and occurred_after is None)


def test_catching_up_again_goes_on_chunk_by_chunk_and_ends(clock, older_release, settings):
    settings.AUTOMATION_EVENTS = {"BATCH": 1}
    event_processor.process_due_events(using="default")
    caught_up("poll")
    with older_release():
        for _ in range(declaring.CHUNKS + 5):
            book_in(clock, hours=5)
    clock.advance(seconds=GRACE.total_seconds())
    dispatcher = RecordingDispatcher()
    with wiring.override(dispatcher=dispatcher):
        event_processor.process_due_events(using="default")
        assert dispatcher.hints == [clock.now()], "the rest is done at once"
        for _ in range(4):
            with older_release():
                event_processor.process_due_events(using="default")
            event_processor.process_due_events(using="default")
    assert EventDelivery.objects.filter(callback="early").count() == declaring.CHUNKS + 5


def test_catching_up_again_is_done_once(clock):
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=50)
        event_processor.process_due_events()
        released(subscriber, "two")
        subscriber.heard.clear()
        for _ in range(4):
            clock.advance(minutes=16)
            released(subscriber, "two")
    assert subscriber.kinds() == ["armed"]


def test_release_that_is_rolled_back_after_both_catch_ups_waits_for_nobody(clock):
    with subscribed(Derived()) as subscriber:
        book_in(clock, hours=5)
        event_processor.process_due_events()
        released(subscriber, "two")
        clock.advance(minutes=15)
        released(subscriber, "two")
        subscriber.heard.clear()
        released(subscriber, "one")
    assert subscriber.kinds() == ["armed"]


def test_first_look_ever_and_an_unchanged_sync_owe_no_catching_up(clock):
    for _ in range(2):
        Reservation.objects.bulk_create([Reservation(checkin_at=clock.now() + 50 * HOUR)])
        event_processor.process_due_events()
        clock.advance(hours=1)
        event_processor.process_due_events()
        assert not Event.objects.exists()
    call_command("sync_events", verbosity=0)
    Reservation.objects.bulk_create([Reservation(checkin_at=clock.now() + 50 * HOUR)])
    clock.advance(hours=1)
    event_processor.process_due_events()
    assert Event.objects.filter(event_name="checkin_due").count() == 2


def moved(reservation, moment):
    reservation.checkin_at = moment
    reservation.save()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param(lambda one: moved(one, one.checkin_at + 24 * HOUR), "pending", id="moved"),
        pytest.param(lambda one: moved(one, None), "cancelled", id="cleared"),
        pytest.param(lambda one: one.delete(), "cancelled", id="deleted"),
        pytest.param(lambda one: moved(one, one.checkin_at - 72 * HOUR), "cancelled", id="expired"),
    ],
)
def test_early_call_follows_an_event_that_the_release_before_has_changed(clock, older_release, change, status):
    early()
    reservation = book_in(clock, hours=5)
    with older_release():
        change(reservation)

    clock.advance(hours=4)
    event_processor.process_due_events()

    call = EventDelivery.objects.get()
    assert (Ledger.objects.count(), call.status) == (0, status)
    if status == "pending":
        assert call.next_at == call.due_at == reservation.checkin_at - HOUR
    else:
        assert call.why


def test_early_call_of_a_date_that_the_release_before_has_cleared_and_set_again_comes_once(clock, older_release):
    early()
    reservation = book_in(clock, hours=5)
    with older_release():
        moved(reservation, None)
        moved(reservation, clock.now() + 6 * HOUR)

    for _ in range(7):
        event_processor.process_due_events()
        clock.advance(hours=1)
    assert Ledger.objects.count() == 1


def test_call_after_an_event_that_the_release_before_has_armed_again_is_not_made(clock, older_release):
    early("after", 60)
    reservation = book_in(clock, hours=0)
    event_processor.process_due_events()
    with older_release():
        moved(reservation, clock.now() + 5 * HOUR)

    clock.advance(hours=1)
    event_processor.process_due_events()
    assert (Ledger.objects.count(), EventDelivery.objects.get().status) == (0, "cancelled")
