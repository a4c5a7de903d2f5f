"""What a save costs with the whole house at work: events, runs ahead of them, and the queue in one database."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from pydantic import BaseModel

from automation.workflows.core import complete, event_workflow, registry, step
from automation.workflows.models import WorkflowRun
from tests.guide.bookings.models import Reservation

pytestmark = pytest.mark.django_db(transaction=True)

HINTS = "django_q_ormq"
NUMBERS = pytest.mark.parametrize("number", [1, 5, 20])


@pytest.fixture
def reminders() -> Iterator[Callable[[int], None]]:
    """Declare so many workflows that begin a few seconds before a check-in."""
    before = list(registry)

    def declare(number: int) -> None:
        for each in range(number):

            @event_workflow("checkin_due", offset=-timedelta(seconds=each + 1), name=f"reminder_{each}")
            class Reminder:
                class Context(BaseModel):
                    pass

                @step(start=True)
                def run(self) -> Any:
                    return complete()

    yield declare
    for definition in registry:
        if definition not in before:
            registry.unregister(definition)


def statements(action: Callable[[], Any], *, on: str) -> list[str]:
    """Do something, and return the statements that touched a table."""
    with CaptureQueriesContext(connection) as captured:
        action()
    return [each["sql"].split()[0] for each in captured if on in each["sql"]]


@NUMBERS
def test_all_hints_of_a_save_are_one_statement(reminders: Callable[[int], None], number: int):
    """The dates are near: each run ahead has a timer of its own, and so has the event."""
    reminders(number)
    stay = Reservation(checkin_at=timezone.now() + timedelta(seconds=90), status="confirmed")

    assert statements(stay.save, on=HINTS) == ["INSERT"]
    assert WorkflowRun.objects.filter(name__startswith="reminder_").count() == number
    assert OrmQ.objects.count() >= number + 1


@NUMBERS
def test_all_hints_of_a_date_that_moves_are_one_statement(reminders: Callable[[int], None], number: int):
    reminders(number)
    stay = Reservation.objects.create(checkin_at=timezone.now() + timedelta(days=9), status="confirmed")
    stay.checkin_at = timezone.now() + timedelta(seconds=90)

    assert statements(stay.save, on=HINTS) == ["INSERT"]


@NUMBERS
@pytest.mark.parametrize("seconds", [90, 9 * 86_400], ids=["near", "far"])
def test_all_runs_ahead_of_a_save_are_one_statement(reminders: Callable[[int], None], number: int, seconds: int):
    reminders(number)
    stay = Reservation(checkin_at=timezone.now() + timedelta(seconds=seconds))

    assert statements(stay.save, on="automation_workflows_") == ["INSERT"]


@NUMBERS
def test_a_date_far_away_needs_no_hint(reminders: Callable[[int], None], number: int):
    reminders(number)
    stay = Reservation(checkin_at=timezone.now() + timedelta(days=9))

    assert statements(stay.save, on=HINTS) == []


TABLES = ("automation_events_event", "automation_workflows_workflowrun", "automation_events_eventdelivery", HINTS)
"""Of the four columns of figures: event rows, runs, deliveries, timers."""
DAY = timedelta(days=1)
NEAR = timedelta(seconds=90)


def cost(action: Callable[[], Any]) -> tuple[int, ...]:
    """Do something in a transaction, and count what was sent to each table until the commit."""
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        action()
        sent = [each["sql"] for each in captured]
    return tuple(
        sum(f"{quote}{table}{quote}" in sql.partition("(")[0] for sql in sent for quote in '"`') for table in TABLES
    )


@NUMBERS
def test_a_save_costs_what_the_promises_say(reminders: Callable[[int], None], number: int):
    """Each figure of the table in docs/promises.md, whatever the number of workflows."""
    reminders(number)
    now = timezone.now()
    stay = Reservation(checkin_at=now + 7 * DAY)

    def moved(ahead: timedelta) -> tuple[int, ...]:
        stay.checkin_at = now + ahead
        return cost(stay.save)

    made = cost(stay.save)

    assert made == (1, 1, 1, 0)
    assert cost(stay.save) == (1, 0, 0, 0)
    assert moved(8 * DAY) == (2, 1, 0, 0)
    assert moved(NEAR) == (2, 2, 0, 1)
    assert cost(Reservation(checkin_at=now + NEAR).save) == (1, 1, 1, 1)
