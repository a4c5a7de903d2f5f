"""More runs than one sweep of the engine takes, on the engine itself."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django_q.models import OrmQ

from automation.q2_executor import tasks
from automation.workflows.models import WorkflowRun

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="Thousands of rows, and nothing that depends on these."),
]

CROWD = 3000


def asleep(until: datetime) -> None:
    """Store a crowd that sleeps until the same moment, as guests do who all check in at three o'clock."""
    now = datetime.now(UTC)
    row = {
        "name": "guest",
        "status": "waiting",
        "current_step": "check_in",
        "data": {},
        "next_at": until,
        "wake_at": until,
        "offset": timedelta(0),
        "created_at": now,
        "updated_at": now,
    }
    WorkflowRun.rows.bulk_create([WorkflowRun(id=uuid4(), **row) for _ in range(CROWD)], batch_size=500)


def test_a_crowd_that_lost_its_messages_is_woken_by_one_sweep():
    """At a thousand each minute the last of them would wait for three sweeps, and longer than recovery may take."""
    asleep(datetime.now(UTC) - timedelta(seconds=1))

    done = tasks.process_scheduled_workflows()

    assert done["woken"] == CROWD
    assert not WorkflowRun.rows.filter(status="waiting").exists()


def test_a_crowd_that_is_due_soon_has_a_timer_each():
    asleep(datetime.now(UTC) + timedelta(minutes=1))

    tasks.process_scheduled_workflows()

    timers = [row for row in OrmQ.objects.all() if row.func().endswith("execute_run")]
    assert len(timers) == CROWD
