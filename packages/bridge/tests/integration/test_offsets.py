"""Runs before, at and after an event follow every edit of it, and happen once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from automation.events.models import Event
from automation.testing import Harness
from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun
from tests.hotel.automations import done, late
from tests.hotel.models import Stay

pytestmark = [pytest.mark.django_db, pytest.mark.automation(at="2030-01-01 12:00")]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def arriving(automation: Harness, hours: float, **fields) -> Stay:
    stay = Stay.objects.create(arrives_at=NOON + hours * HOUR, **fields)
    automation.run_until_idle()
    return stay


def runs(name: str) -> list[tuple[str, datetime | None]]:
    """Return status and time of the runs of a workflow of `arrival_due`."""
    found = WorkflowRun.objects.filter(name__endswith=name, name__startswith="arrival_due").order_by("created_at")
    return [(str(run.status), run.wake_at) for run in found]


def at_arrival() -> dict[str, int]:
    """Return what the workflows of `arrival_due` have done."""
    return {what: times for what, times in done.items() if not what.startswith(("Sound", "Broken"))}


def test_the_run_before_exists_from_the_save_on(automation: Harness):
    arriving(automation, 5)

    assert runs("HourBefore") == [("waiting", NOON + 4 * HOUR)]
    assert runs("AtOnce") == runs("HalfAnHourAfter") == []


def test_it_runs_before_the_event(automation: Harness):
    stay = arriving(automation, 5)

    automation.advance(hours=4)

    assert at_arrival() == {f"HourBefore {stay.pk}": 1}
    assert Event.objects.get(event_name="arrival_due").status == "pending"


def test_at_and_after_the_event_the_others_run_and_none_twice(automation: Harness):
    stay = arriving(automation, 5)

    automation.advance(hours=5)
    assert at_arrival() == {f"HourBefore {stay.pk}": 1, f"AtOnce {stay.pk}": 1}

    automation.advance(minutes=30)
    assert at_arrival() == {f"HourBefore {stay.pk}": 1, f"AtOnce {stay.pk}": 1, f"HalfAnHourAfter {stay.pk}": 1}


@pytest.mark.parametrize("hours", [9, 2.5, 100], ids=["later", "earlier", "much later"])
def test_the_run_before_moves_with_the_date_in_the_same_save(automation: Harness, hours: float):
    stay = arriving(automation, 5)

    stay.arrives_at = NOON + hours * HOUR
    stay.save()

    assert runs("HourBefore") == [("waiting", NOON + (hours - 1) * HOUR)]


def test_moved_to_where_its_time_has_passed_it_starts_at_once(automation: Harness):
    stay = arriving(automation, 5)

    automation.save(stay, arrives_at=NOON + 0.5 * HOUR)

    assert at_arrival() == {f"HourBefore {stay.pk}": 1}


def test_armed_too_late_for_its_time_but_not_for_the_event_it_starts_at_once(automation: Harness):
    stay = arriving(automation, 0.5)

    assert at_arrival() == {f"HourBefore {stay.pk}": 1}


def test_clearing_the_date_calls_it_off(automation: Harness):
    stay = arriving(automation, 5)

    stay.arrives_at = None
    stay.save()

    assert [status for status, _ in runs("HourBefore")] == ["cancelled"]


def test_deleting_the_stay_calls_it_off(automation: Harness):
    stay = arriving(automation, 5)

    stay.delete()

    assert [status for status, _ in runs("HourBefore")] == ["cancelled"]
    automation.advance(hours=10)
    assert at_arrival() == {}


def test_cancelling_the_event_calls_it_off(automation: Harness):
    arriving(automation, 5)

    Event.objects.get(event_name="arrival_due").cancel()

    assert [status for status, _ in runs("HourBefore")] == ["cancelled"]


def test_a_date_set_again_reserves_a_new_run(automation: Harness):
    stay = arriving(automation, 5)
    automation.save(stay, arrives_at=None)

    automation.save(stay, arrives_at=NOON + 7 * HOUR)
    automation.advance(hours=7)

    assert done[f"HourBefore {stay.pk}"] == 1


def test_a_condition_that_does_not_hold_at_its_time_holds_it_back(automation: Harness):
    stay = arriving(automation, 5)
    automation.save(stay, confirmed=False)

    automation.advance(hours=4)

    run = WorkflowRun.objects.get(name__endswith="HourBefore")
    assert (run.status, at_arrival()) == ("waiting", {})
    assert run.why

    automation.save(stay, confirmed=True)
    assert at_arrival() == {f"HourBefore {stay.pk}": 1}


def test_held_back_until_the_event_it_begins_at_the_occurrence(automation: Harness):
    """The condition came true by `update()`, which nobody hears of before the event is due."""
    stay = arriving(automation, 5)
    automation.save(stay, confirmed=False)
    automation.advance(hours=4)
    Stay.objects.update(confirmed=True)

    automation.advance(hours=1)

    assert at_arrival() == {f"HourBefore {stay.pk}": 1, f"AtOnce {stay.pk}": 1}


def test_an_event_that_never_occurs_starts_nothing(automation: Harness):
    arriving(automation, 5, confirmed=False)

    automation.advance(hours=10)

    assert at_arrival() == {}


def test_a_date_moved_after_the_occurrence_supersedes_what_has_not_begun(automation: Harness):
    """Hard case 4: the run after the old arrival is cancelled, and a new generation is armed."""
    stay = arriving(automation, 5)
    automation.advance(hours=5)

    automation.save(stay, arrives_at=NOON + 20 * HOUR)

    assert [status for status, _ in runs("HalfAnHourAfter")] == ["cancelled"]
    assert [status for status, _ in runs("HourBefore")] == ["completed", "waiting"]

    automation.advance(hours=20)
    assert at_arrival() == {f"HourBefore {stay.pk}": 2, f"AtOnce {stay.pk}": 2, f"HalfAnHourAfter {stay.pk}": 1}


def test_a_date_moved_into_the_past_after_the_occurrence_moves_what_has_not_begun(automation: Harness):
    stay = arriving(automation, 5)
    automation.advance(hours=5)

    automation.save(stay, arrives_at=NOON + 4.75 * HOUR)

    assert runs("HalfAnHourAfter") == [("waiting", NOON + 5.25 * HOUR)]


def test_a_date_moved_after_the_occurrence_does_not_touch_what_has_begun(automation: Harness):
    stay = arriving(automation, 5)
    automation.advance(hours=5.75)
    assert [status for status, _ in runs("HalfAnHourAfter")] == ["completed"]

    automation.save(stay, arrives_at=NOON + 5.5 * HOUR)
    automation.advance(hours=10)
    assert at_arrival() == {f"HourBefore {stay.pk}": 1, f"AtOnce {stay.pk}": 1, f"HalfAnHourAfter {stay.pk}": 1}

    automation.save(stay, arrives_at=NOON + 20 * HOUR)
    automation.advance(hours=10)
    assert at_arrival() == {f"HourBefore {stay.pk}": 2, f"AtOnce {stay.pk}": 2, f"HalfAnHourAfter {stay.pk}": 2}


def test_a_date_moved_while_a_run_after_it_waits_for_the_old_one_is_followed_each_time(automation: Harness):
    """Back and forth: each date in the future is a new occurrence, and only the last one is gone through to its end."""
    stay = arriving(automation, 5)
    automation.advance(hours=5)
    automation.save(stay, arrives_at=NOON + 20 * HOUR)
    automation.save(stay, arrives_at=NOON + 6 * HOUR)
    automation.save(stay, arrives_at=NOON + 12 * HOUR)
    automation.advance(hours=24)

    assert [status for status, _ in runs("HourBefore")] == ["completed", "completed"]
    assert at_arrival() == {f"HourBefore {stay.pk}": 2, f"AtOnce {stay.pk}": 2, f"HalfAnHourAfter {stay.pk}": 1}


def test_an_occurrence_ahead_of_its_date_begins_each_once_and_the_date_begins_none_again(automation: Harness):
    stay = arriving(automation, 5)

    Event.objects.get(event_name="arrival_due").mark_as_occurred()
    automation.run_until_idle()
    automation.save(stay, name="Grace")
    automation.advance(hours=10)

    assert at_arrival() == {f"HourBefore {stay.pk}": 1, f"AtOnce {stay.pk}": 1, f"HalfAnHourAfter {stay.pk}": 1}


def test_an_outage_begins_it_late_and_says_by_how_much(automation: Harness):
    stay = arriving(automation, 5)
    automation.executor.drop()

    automation.clock.jump(hours=72)
    automation.run_until_idle()

    assert done[f"HourBefore {stay.pk}"] == 1
    assert late[f"HourBefore {stay.pk}"] == 68 * HOUR


def test_announcing_everything_twice_changes_nothing(automation: Harness):
    """Duplicated and late deliveries: once per (occurrence, workflow)."""
    stay = arriving(automation, 5)
    Event.objects.sync(Stay.objects.all())
    automation.advance(hours=6)
    event = Event.objects.get(event_name="arrival_due")

    first = engine.handle_event_occurred(event)
    again = engine.handle_event_occurred(event)
    automation.run_until_idle()

    assert sorted(run.id for run in first) == sorted(run.id for run in again)
    assert at_arrival() == {f"HourBefore {stay.pk}": 1, f"AtOnce {stay.pk}": 1, f"HalfAnHourAfter {stay.pk}": 1}


def test_a_rollback_of_the_save_leaves_no_run(automation: Harness):
    def save_and_fail() -> None:
        with transaction.atomic():
            Stay.objects.create(arrives_at=NOON + 5 * HOUR)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        save_and_fail()

    assert not WorkflowRun.objects.exists()


@pytest.mark.parametrize(
    ("workflow", "error"),
    [("BrokenContext", "no context for Mallory"), ("BrokenDecision", "no decision for Mallory")],
)
def test_a_hook_that_raises_fails_its_run_visibly_and_harms_no_other(automation: Harness, workflow: str, error: str):
    """`create_context` or `should_run_for_event`, tried as often as the step would be."""
    stay = Stay.objects.create(name="Mallory")
    automation.advance(minutes=10)

    broken = WorkflowRun.objects.get(name__endswith=workflow)
    assert (broken.status, f"LookupError: {error}" in broken.error) == ("failed", True)
    assert done == {f"Sound {stay.pk}": 1}


@pytest.mark.parametrize("workflow", ["BrokenContext", "BrokenDecision"])
def test_a_run_whose_hook_raised_can_be_tried_again(automation: Harness, workflow: str):
    stay = Stay.objects.create(name="Mallory")
    automation.advance(minutes=10)
    Stay.objects.update(name="Ada")

    engine.retry(WorkflowRun.objects.get(name__endswith=workflow).pk)
    automation.run_until_idle()

    assert done[f"{workflow} {stay.pk}"] == 1


@pytest.mark.automation(at=NOON, inline=True)
def test_following_a_date_is_one_statement(automation: Harness):
    """Hard case 26: besides the save and the two statements of events, one for all runs ahead of time."""
    stay = arriving(automation, 500)
    stay.arrives_at = NOON + 600 * HOUR

    with CaptureQueriesContext(connection) as captured:
        stay.save()

    statements = [each["sql"] for each in captured if "SAVEPOINT" not in each["sql"]]
    assert [sql.split()[0] for sql in statements] == ["UPDATE", "SELECT", "UPDATE", "UPDATE"]
