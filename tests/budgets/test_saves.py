"""What a save costs with the whole house at work: events, runs ahead of them, and the queue in one database."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
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
