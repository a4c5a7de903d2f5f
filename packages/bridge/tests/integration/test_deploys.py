"""A deploy that brings or takes a workflow changes what is reserved for events that are already armed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from automation.events.models import Event
from automation.events.services import event_processor
from automation.testing import Harness
from automation.workflows import retriggering
from automation.workflows.core import registry
from automation.workflows.models import WorkflowRun
from tests.hotel.automations import done
from tests.hotel.models import Stay

pytestmark = [pytest.mark.django_db, pytest.mark.automation(at="2030-01-01 12:00")]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@contextmanager
def release_without(name: str) -> Iterator[None]:
    """Run the block as the release before this one, which did not have the workflow."""
    definition = next(each for each in registry if each.name.endswith(name))
    registry.unregister(definition)
    try:
        yield
    finally:
        registry.register(definition)


def reserved() -> int:
    return WorkflowRun.objects.filter(name__endswith="HourBefore", status="waiting").count()


def test_a_new_workflow_is_reserved_for_events_that_were_armed_before_it(automation: Harness):
    with release_without("HourBefore"):
        Stay.objects.create(arrives_at=NOON + timedelta(hours=5))
        automation.run_until_idle()
        event_processor.process_due_events()
        assert reserved() == 0

    event_processor.process_due_events()
    event_processor.process_due_events()

    assert reserved() == 1
    automation.advance(hours=4)
    assert WorkflowRun.objects.get(name__endswith="HourBefore").status == "completed"


def test_what_the_release_before_could_not_reserve_begins_at_the_occurrence(automation: Harness):
    """It saved when the deploy was long over: nobody looks at what lies ahead any more."""
    event_processor.process_due_events()
    with release_without("HourBefore"):
        stay = Stay.objects.create(arrives_at=NOON + timedelta(hours=5))

    automation.advance(hours=4.9)
    event_processor.process_due_events()
    assert (reserved(), done[f"HourBefore {stay.pk}"]) == (0, 0)
    automation.advance(hours=0.1)
    assert done[f"HourBefore {stay.pk}"] == 1


@contextmanager
def release_with(name: str, *, version: str = "1", **trigger: Any) -> Iterator[None]:
    """Run the block as a release in which the workflow has another trigger."""
    definition = next(each for each in registry if each.name.endswith(name))
    assert definition.trigger is not None
    changed = replace(definition, version=version, trigger=replace(definition.trigger, **trigger))
    registry.unregister(definition)
    registry.register(changed)
    try:
        yield
    finally:
        registry.unregister(changed)
        registry.register(definition)


def arriving(automation: Harness, hours: float) -> Stay:
    stay = Stay.objects.create(arrives_at=NOON + hours * HOUR)
    automation.run_until_idle()
    event_processor.process_due_events()
    return stay


def starts(name: str = "HourBefore") -> list[tuple[str, datetime | None]]:
    found = WorkflowRun.objects.filter(name__endswith=name).order_by("created_at", "pk")
    return [(str(run.status), run.wake_at) for run in found]


def sync(*arguments: str) -> str:
    said = StringIO()
    call_command("sync_events", *arguments, stdout=said)
    return said.getvalue()


def poll() -> None:
    event_processor.process_due_events()


DEPLOYS = pytest.mark.parametrize("deploy", [sync, poll], ids=["sync_events", "the processor"])


def test_sync_events_withdraws_what_the_code_no_longer_reserves(automation: Harness):
    stay = arriving(automation, 5)

    with release_without("HourBefore"):
        assert "workflows: 1 withdrawn" in sync()
        assert starts() == [("cancelled", None)]
        assert "workflows: 0 withdrawn" in sync()
        automation.advance(hours=5)

    begun = ("AtOnce", "Sound", "BrokenContext", "BrokenDecision")
    assert done == {f"{name} {stay.pk}": 1 for name in begun}


def test_the_processor_withdraws_nothing_because_another_process_may_be_newer(automation: Harness):
    arriving(automation, 5)

    with release_without("HourBefore"):
        poll()

    assert starts() == [("waiting", NOON + 4 * HOUR)]


def test_a_dry_run_counts_and_withdraws_nothing(automation: Harness):
    arriving(automation, 5)

    with release_without("HourBefore"):
        assert "workflows: 1 would be withdrawn" in sync("--dry-run")

    assert starts() == [("waiting", NOON + 4 * HOUR)]


def test_a_trigger_that_comes_back_has_its_start_reserved_again(automation: Harness):
    """A deploy that is rolled back: what it withdrew must not keep the place of what is to run."""
    stay = arriving(automation, 5)
    with release_without("HourBefore"):
        sync()

    poll()

    assert sorted(status for status, _ in starts()) == ["cancelled", "waiting"]
    automation.advance(hours=5)
    assert done[f"HourBefore {stay.pk}"] == 1


@DEPLOYS
@pytest.mark.parametrize("hours", [-2, -0.5], ids=["earlier", "later"])
def test_another_offset_moves_what_is_reserved(automation: Harness, deploy: Callable[[], Any], hours: float):
    stay = arriving(automation, 5)

    with release_with("HourBefore", offset=hours * HOUR):
        deploy()
        assert starts() == [("waiting", NOON + (5 + hours) * HOUR)]
        automation.advance(hours=5 + hours - 0.01)
        assert done[f"HourBefore {stay.pk}"] == 0
        automation.advance(hours=0.01)
        assert done[f"HourBefore {stay.pk}"] == 1


@DEPLOYS
def test_an_offset_that_reaches_into_the_past_begins_at_once(automation: Harness, deploy: Callable[[], Any]):
    stay = arriving(automation, 5)

    with release_with("HourBefore", offset=-6 * HOUR):
        deploy()
        automation.run_until_idle()

        assert done[f"HourBefore {stay.pk}"] == 1


@DEPLOYS
@pytest.mark.parametrize("hours", [0, 1], ids=["at the event", "after it"])
def test_an_offset_that_is_no_longer_ahead_begins_at_or_after_the_event(
    automation: Harness, deploy: Callable[[], Any], hours: float
):
    stay = arriving(automation, 5)

    with release_with("HourBefore", offset=hours * HOUR):
        deploy()
        automation.advance(hours=4.9)
        assert done[f"HourBefore {stay.pk}"] == 0
        automation.advance(hours=0.1 + hours)
        assert done[f"HourBefore {stay.pk}"] == 1


@DEPLOYS
def test_what_is_no_longer_ahead_begins_with_an_occurrence_that_is_early(
    automation: Harness, deploy: Callable[[], Any]
):
    """A start left from the old trigger would keep the place of the one that the occurrence makes."""
    stay = arriving(automation, 5)

    with release_with("HourBefore", offset=timedelta(0)):
        deploy()
        Event.objects.get(event_name="arrival_due").mark_as_occurred()
        automation.run_until_idle()

        assert done[f"HourBefore {stay.pk}"] == 1


def test_another_offset_moves_what_waits_after_an_event_that_has_occurred(automation: Harness):
    stay = arriving(automation, 1)
    automation.advance(hours=1)
    assert starts("HalfAnHourAfter") == [("waiting", NOON + 1.5 * HOUR)]

    with release_with("HalfAnHourAfter", offset=2 * HOUR):
        sync()

        assert starts("HalfAnHourAfter") == [("waiting", NOON + 3 * HOUR)]
        automation.advance(hours=2)
        assert done[f"HalfAnHourAfter {stay.pk}"] == 1


def test_another_event_withdraws_what_was_reserved_for_the_old_one(automation: Harness):
    arriving(automation, 5)

    with release_with("HourBefore", event_name="departure_due"):
        sync()

        assert starts() == [("cancelled", None)]


@DEPLOYS
def test_a_new_version_takes_over_what_has_not_begun(automation: Harness, deploy: Callable[[], Any]):
    """There is no Context yet that would have to be upgraded."""
    stay = arriving(automation, 5)

    with release_with("HourBefore", version="2"):
        deploy()
        automation.advance(hours=4)

        assert WorkflowRun.objects.get(name__endswith="HourBefore").version == "2"
        assert done[f"HourBefore {stay.pk}"] == 1


@DEPLOYS
def test_a_deploy_that_leaves_open_which_version_is_current_takes_nothing_back(
    automation: Harness, deploy: Callable[[], Any]
):
    arriving(automation, 5)
    definition = next(each for each in registry if each.name.endswith("HourBefore"))
    rival = replace(definition, version="2", owner="elsewhere")
    registry.register(rival)
    try:
        deploy()
        assert starts() == [("waiting", NOON + 4 * HOUR)]
        automation.advance(hours=4)
    finally:
        registry.unregister(rival)

    assert [status for status, _ in starts()] == ["completed"]


def test_what_has_begun_is_left(automation: Harness):
    arriving(automation, 5)
    automation.advance(hours=4)

    with release_without("HourBefore"):
        sync()

    assert [status for status, _ in starts()] == ["completed"]


def test_a_great_many_are_followed_in_chunks(automation: Harness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retriggering, "_BATCH", 3)
    for _ in range(8):
        arriving(automation, 5)

    with release_with("HourBefore", offset=-2 * HOUR):
        sync()
        assert starts() == [("waiting", NOON + 3 * HOUR)] * 8
    with release_without("HourBefore"):
        assert "workflows: 8 withdrawn" in sync()


@pytest.mark.django_db(databases=["default", "other"])
def test_a_deploy_is_followed_across_databases(automation: Harness):
    """Events on another database than runs: the news goes by deliveries, the withdrawal straight to the runs."""
    Stay.objects.using("other").create(arrives_at=NOON + 5 * HOUR)
    automation.run_until_idle()
    poll()
    assert starts() == [("waiting", NOON + 4 * HOUR)]

    with release_with("HourBefore", offset=-2 * HOUR):
        poll()
        poll()
        assert starts() == [("waiting", NOON + 3 * HOUR)]
    with release_without("HourBefore"):
        assert "workflows: 1 withdrawn" in sync()
