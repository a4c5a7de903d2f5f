"""`event:<name>` wakes those who wait for the event of their own entity, with the bridge's payload."""

from datetime import UTC, datetime, timedelta

import pytest

from automation.events.callbacks import callback_registry
from automation.events.models import Event
from automation.testing import Harness
from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun
from tests.hotel.automations import seen
from tests.hotel.models import Complaint, Paper, Stay

pytestmark = [pytest.mark.django_db, pytest.mark.automation(at="2030-01-01 12:00")]

SOON = datetime(2030, 1, 1, 13, tzinfo=UTC)


def stay_at(automation: Harness, arrives_at: datetime | None = SOON, **fields) -> Stay:
    stay = Stay.objects.create(arrives_at=arrives_at, **fields)
    automation.run_until_idle()
    return stay


def heard(name: str) -> list[int]:
    return sorted(entry["by"] for entry in seen if entry["event_name"] == name)


def test_the_payload_has_the_bridges_five_keys_and_the_definitions_own(automation: Harness):
    stay = stay_at(automation, name="Grace")

    automation.advance(hours=1)

    event = Event.objects.get(event_name="arrival_due")
    entry = next(each for each in seen if each["by"] == stay.pk)
    assert entry == {
        "by": stay.pk,
        "stay": stay.pk,
        "event_id": str(event.pk),
        "event_name": "arrival_due",
        "entity_id": str(stay.pk),
        "entity_type": "bridge_hotel.stay",
        "event_at": "2030-01-01T13:00:00Z",
        "name": "Grace",
    }


def test_an_event_wakes_the_run_about_its_own_entity_only(automation: Harness):
    stay_at(automation, SOON + timedelta(hours=5))
    second = stay_at(automation)

    automation.advance(hours=1)

    assert heard("arrival_due") == [second.pk]


def test_an_event_wakes_the_run_about_what_it_is_about_only(automation: Harness):
    stay_at(automation)
    second = stay_at(automation)

    Paper.objects.create(stay=second)
    automation.run_until_idle()

    assert heard("paper_uploaded") == [second.pk]


def test_an_event_before_the_wait_is_not_lost(automation: Harness):
    """It occurs while the run sleeps: what is about the wait's entity counts since the run began."""
    stay = Stay.objects.create(confirmed=False)
    automation.start("late_listener", stay=stay.pk)
    automation.advance(minutes=30)

    Paper.objects.create(stay=stay)
    automation.run_until_idle()
    assert heard("paper_uploaded") == []
    automation.advance(minutes=30)

    assert heard("paper_uploaded") == [stay.pk]


def test_an_event_before_the_run_wakes_nobody(automation: Harness):
    stay = Stay.objects.create(confirmed=False)
    Paper.objects.create(stay=stay)
    automation.run_until_idle()

    run = automation.start("late_listener", stay=stay.pk)
    automation.advance(hours=2)

    assert heard("paper_uploaded") == []
    assert WorkflowRun.objects.get(pk=run.id).status == "waiting"


@pytest.mark.django_db(transaction=True)
def test_an_event_during_the_step_that_waits_is_not_lost(automation: Harness):
    stay = Stay.objects.create(confirmed=False)

    run = automation.start("self_supplier", stay=stay.pk)
    automation.run_until_idle()

    assert heard("paper_uploaded") == [stay.pk]
    assert WorkflowRun.objects.get(pk=run.id).status == "completed"


def test_an_event_after_the_wait_has_ended_wakes_nobody(automation: Harness):
    stay = Stay.objects.create(confirmed=False)
    automation.start("late_listener", stay=stay.pk)
    automation.advance(hours=2)
    Paper.objects.create(stay=stay)
    automation.run_until_idle()
    assert heard("paper_uploaded") == [stay.pk]

    Paper.objects.create(stay=stay)
    automation.run_until_idle()

    assert heard("paper_uploaded") == [stay.pk]


def test_a_manual_run_is_woken_by_any(automation: Harness):
    run = automation.start("manual_listener")
    stay_at(automation)

    automation.advance(hours=1)

    assert WorkflowRun.objects.get(pk=run.id).status == "completed"


def test_an_event_of_another_model_that_says_nothing_wakes_all(automation: Harness):
    first, second = stay_at(automation), stay_at(automation)

    Complaint.objects.create()
    automation.run_until_idle()

    assert heard("complaint_made") == [first.pk, second.pk]


def test_clearing_the_callbacks_of_users_does_not_touch_the_bridge(automation: Harness):
    callbacks = dict(callback_registry._subscriptions)
    callback_registry.clear()
    try:
        stay = stay_at(automation)
        automation.advance(hours=1)
    finally:
        callback_registry._subscriptions.update(callbacks)

    assert heard("arrival_due") == [stay.pk]


def test_an_event_that_is_announced_twice_is_signalled_once(automation: Harness):
    stay_at(automation)
    automation.advance(hours=1)
    seen.clear()
    late = automation.start("manual_listener")

    event = Event.objects.get(event_name="arrival_due")
    from automation.bridge.occurrences import _announced
    from automation.bridge.relay import Relay

    Relay().occurred([_announced(event)], using="default")
    automation.run_until_idle()

    assert seen == []
    assert WorkflowRun.objects.get(pk=late.id).status == "waiting"


def test_users_cannot_forge_an_event(automation: Harness):
    with pytest.raises(ValueError, match="event:"):
        engine.signal("event:arrival_due", {"entity_id": "1"})
