"""A deploy that brings or takes a workflow changes what is reserved for events that are already armed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from automation.events.services import event_processor
from automation.testing import Harness
from automation.workflows.core import registry
from automation.workflows.models import WorkflowRun
from tests.hotel.models import Stay

pytestmark = [pytest.mark.django_db, pytest.mark.automation(at="2030-01-01 12:00")]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


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
