"""The settings that docs/running-on-django-q2.md shows fit together, and real clusters work under them."""

import os
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from automation.events import conf as events
from automation.q2_executor.conf import Configuration
from automation.workflows.ports.policy import Policy
from tests.clusters.stage import REDIS
from tests.docs.clusters import running, until
from tests.docs.pages import ROOT, Page, Project

PAGE = "docs/running-on-django-q2.md"
UNSWEPT = """
from django.utils import timezone
from django_q.models import OrmQ, Schedule
print(Schedule.objects.filter(task=None).count(), OrmQ.objects.filter(lock__lte=timezone.now()).count())
"""


@pytest.mark.parametrize("settings", ["settings_long", "settings_server", "settings_queues", "settings_redis"])
def test_the_settings_shown_are_not_warned_of(settings: str, tmp_path: Path):
    said = Project(Page(PAGE), tmp_path).manage("check", settings=settings)

    assert "no issues" in said


@pytest.mark.parametrize(
    ("settings", "queues"), [("settings_queues", ["", "sweeps"]), ("settings_redis", [""])], ids=["queues", "redis"]
)
def test_a_reservation_is_seen_to_by_clusters_under_the_settings_shown(
    settings: str, queues: list[str], tmp_path: Path
):
    """The README's reservation, with these settings in the place of its own."""
    if settings == "settings_redis":
        skip_without_redis()
    project = Project(Page("README.md"), tmp_path)
    (tmp_path / f"{settings}.py").write_text(Page(PAGE).files[f"{settings}.py"])
    # The name is the queue's in Redis, which others use as well.
    (tmp_path / "settings_here.py").write_text(
        f"from {settings} import *\nQ_CLUSTER['name'] = 'docs-{uuid4().hex[:8]}'\n"
    )
    project.manage("migrate", "--run-syncdb", "--verbosity", "0", settings="settings_here")
    project.manage("setup_schedules", settings="settings_here")
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings_here", "PYTHONPATH": project.path}

    with ExitStack() as clusters:
        for queue in queues:
            named = {**env, "Q_CLUSTER_NAME": queue} if queue else env
            command = [sys.executable, "-m", "django", "qcluster"]
            log = clusters.enter_context(running(command, cwd=tmp_path, env=named))
        project.run(
            "from datetime import timedelta\n"
            "from django.utils import timezone\n"
            "from bookings.models import Reservation\n"
            "at = timezone.now() + timedelta(minutes=60, seconds=5)\n"
            "Reservation.objects.create(checkin_at=at, status='confirmed')\n",
            settings="settings_here",
        )
        states = "from automation.workflows.models import WorkflowRun; print(WorkflowRun.objects.get().status)"
        until(lambda: project.run(states, settings="settings_here") == "completed\n", log=log)
        if "sweeps" in queues:
            # Of each schedule a task was made, by the one cluster that sees to it, and worked on.
            until(lambda: project.run(UNSWEPT, settings="settings_here") == "0 0\n", log=log)


def skip_without_redis() -> None:
    redis = pytest.importorskip("redis")
    connection = redis.from_url(REDIS)
    try:
        connection.ping()
    except redis.ConnectionError:
        pytest.skip(f"Redis does not answer at {REDIS}")
    finally:
        connection.close()


def test_the_bound_is_what_the_settings_make_it():
    """T = claim + sweep + what q2's scheduler is late."""
    policy, claims = Policy(), events.Configuration()
    lateness = timedelta(seconds=30)
    of_runs = policy.step_timeout + policy.claim_margin + Configuration().sweep_every + lateness
    of_events = claims.claim + Configuration().poll_every + lateness

    page = (ROOT / PAGE).read_text()

    assert f"= {of_runs.total_seconds():.0f} s" in page
    assert f"= {of_events.total_seconds():.0f} s" in page
