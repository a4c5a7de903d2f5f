"""The engine's view of events is read afresh at each question, wherever the event is."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError, connections
from django.test.utils import CaptureQueriesContext

from automation.bridge.occurrences import EventOccurrences
from automation.events.models import Event
from automation.testing import Harness
from automation.workflows.models import WorkflowRun
from automation.workflows.ports import EntityRef
from tests.hotel.automations import done, late
from tests.hotel.models import Paper, Stay

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.automation(at=NOON),
]


@pytest.fixture
def event(automation: Harness) -> Event:
    Stay.objects.create(arrives_at=NOON + timedelta(hours=5))
    automation.run_until_idle()
    return Event.objects.get(event_name="arrival_due")


def test_an_event_that_lies_ahead_and_holds(event: Event):
    snapshot = EventOccurrences().snapshot(str(event.pk))

    assert snapshot is not None
    assert (snapshot.valid, snapshot.occurred, snapshot.ended) == (True, False, False)
    assert snapshot.event.entity == Stay.objects.get()
    assert snapshot.occurrence.at == NOON + timedelta(hours=5)


def test_the_condition_is_judged_on_what_the_database_holds_now(event: Event):
    Stay.objects.update(confirmed=False)

    snapshot = EventOccurrences().snapshot(str(event.pk))

    assert snapshot is not None
    assert snapshot.valid is False
    assert snapshot.event.entity.confirmed is False


def test_an_event_that_occurred(automation: Harness, event: Event):
    automation.advance(hours=5)

    snapshot = EventOccurrences().snapshot(str(event.pk))

    assert snapshot is not None
    assert (snapshot.occurred, snapshot.ended) == (True, False)


def test_an_event_that_was_cancelled(event: Event):
    event.cancel()

    snapshot = EventOccurrences().snapshot(str(event.pk))

    assert snapshot is not None
    assert (snapshot.occurred, snapshot.ended) == (False, True)


def test_an_event_whose_entity_was_deleted_past_the_signals(event: Event):
    Stay.objects.all()._raw_delete("default")

    snapshot = EventOccurrences().snapshot(str(event.pk))

    assert snapshot is not None
    assert snapshot.valid is False


def test_an_event_that_is_gone(event: Event):
    key = str(event.pk)
    Event.objects.all().delete()

    assert EventOccurrences().snapshot(key) is None


def test_what_an_event_is_about_is_told(automation: Harness):
    stay = Stay.objects.create()
    Paper.objects.create(stay=stay)
    automation.run_until_idle()

    occurrence = EventOccurrences().describe(Event.objects.get(event_name="paper_uploaded"))

    assert occurrence.about == (EntityRef(type="bridge_hotel.stay", id=str(stay.pk)),)
    assert occurrence.entity.type == "bridge_hotel.paper"
    assert occurrence.at is not None


class TestAnotherDatabase:
    """Events on one database, runs on another: carried over at least once, and idempotent."""

    def test_an_event_elsewhere_is_found(self, automation: Harness):
        Stay.objects.using("other").create(arrives_at=NOON + timedelta(hours=5))
        event = Event.objects.using("other").get(event_name="arrival_due")

        snapshot = EventOccurrences().snapshot(str(event.pk))

        assert snapshot is not None
        assert snapshot.event.entity._state.db == "other"

    def test_a_run_before_an_event_elsewhere_follows_it(self, automation: Harness):
        stay = Stay.objects.using("other").create(arrives_at=NOON + timedelta(hours=5))
        automation.run_until_idle()
        run = WorkflowRun.objects.get(name__endswith="HourBefore")
        assert run.wake_at == NOON + timedelta(hours=4)

        stay.arrives_at = NOON + timedelta(hours=9)
        stay.save()
        automation.run_until_idle()
        run.refresh_from_db()
        assert run.wake_at == NOON + timedelta(hours=8)

        automation.advance(hours=10)
        assert done[f"HourBefore {stay.pk}"] == 1
        assert done[f"AtOnce {stay.pk}"] == 1

    def test_deleting_it_elsewhere_calls_the_run_off(self, automation: Harness):
        stay = Stay.objects.using("other").create(arrives_at=NOON + timedelta(hours=5))
        automation.run_until_idle()

        stay.delete()
        automation.run_until_idle()

        assert WorkflowRun.objects.get(name__endswith="HourBefore").status == "cancelled"

    @pytest.mark.parametrize("error", [OperationalError, InterfaceError, ProgrammingError])
    def test_a_database_that_is_away_longer_than_workers_may_be_lost_costs_time_alone(
        self, automation: Harness, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ):
        """`ProgrammingError`: its tables are not there yet, while a deploy is under way."""
        stay = Stay.objects.using("other").create(arrives_at=NOON + timedelta(hours=5))
        automation.run_until_idle()

        def refused(event: Event) -> None:
            raise error("no answer")

        with monkeypatch.context() as away:
            away.setattr("automation.bridge.occurrences.look_ahead", refused)
            automation.advance(hours=4, minutes=40)
        run = WorkflowRun.objects.get(name__endswith="HourBefore")
        assert (run.status, run.lost_claims) == ("waiting", 0)
        assert f"not begun: its event cannot be read ({error.__name__}: no answer); looked at again at" in run.why

        automation.advance(minutes=2)
        assert done[f"HourBefore {stay.pk}"] == 1
        assert timedelta(minutes=40) <= late[f"HourBefore {stay.pk}"] <= timedelta(minutes=42)


def test_an_event_that_is_gone_is_not_looked_for_on_databases_that_hold_none(settings):
    """A database of another system may be down, or not have our tables: AUTOMATION_EVENTS says where to look."""
    settings.AUTOMATION_EVENTS = {"DATABASES": ["default"]}

    with CaptureQueriesContext(connections["other"]) as asked:
        snapshot = EventOccurrences().snapshot(str(uuid4()))

    assert snapshot is None
    assert list(asked) == []
