"""From one process on SQLite to two machines on PostgreSQL: the settings that the docs show for it are run."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from automation.testing.databases import database_from_env
from tests.docs.clusters import running, until
from tests.docs.pages import Page, Project

PAGE = "docs/running-on-django-q2.md"
STAYS = 10
MESSAGES = 4
"""For each run, besides its own: as many as the two machines have workers."""

HERE = """
from settings_server import *

# Where the server of this test run is; the rest is as the page has it.
DATABASES["default"] |= {there!r}
Q_CLUSTER = {{**Q_CLUSTER, "name": {name!r}}}
"""

SAVE = f"""
from datetime import timedelta
from django.utils import timezone
from bookings.models import Reservation
for _ in range({STAYS}):
    at = timezone.now() + timedelta(minutes=60, seconds=5)
    Reservation.objects.create(checkin_at=at, status="confirmed")

# A message may come again, and to the other machine.
from automation.q2_executor.executor import Q2Executor
from automation.workflows.models import WorkflowRun
runs = list(WorkflowRun.objects.values_list("pk", flat=True))
Q2Executor().enqueue(runs * {MESSAGES}, run_after=at - timedelta(minutes=60))
"""

LEFT = """
from django_q.models import OrmQ
print(sum(row.func().endswith(".execute_run") for row in OrmQ.objects.all()))
"""

STATES = """
from collections import Counter
from automation.workflows.models import WorkflowAttempt, WorkflowRun
print(dict(Counter(WorkflowRun.objects.values_list("status", flat=True))), WorkflowAttempt.objects.count())
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The README's project with the page's settings, on a database of its own."""
    name = f"automation_grown_{uuid4().hex[:8]}"
    database = database_from_env(name)
    there = {key: database[key] for key in ("NAME", "HOST", "PORT", "USER", "PASSWORD")}
    project = Project(Page("README.md"), tmp_path)
    (tmp_path / "settings_server.py").write_text(Page(PAGE).files["settings_server.py"])
    (tmp_path / "settings_here.py").write_text(HERE.format(there=there, name=name))
    (tmp_path / "settings_before.py").write_text(HERE.format(there={**there, "NAME": "postgres"}, name=name))

    def order(sql: str) -> None:
        code = f"from django.db import connection; connection.cursor().execute({sql!r})"
        project.run(code, settings="settings_before")

    order(f"CREATE DATABASE {there['NAME']}")
    try:
        project.manage("migrate", "--run-syncdb", "--verbosity", "0", settings="settings_here")
        yield project
    finally:
        order(f"DROP DATABASE {there['NAME']} WITH (FORCE)")


def test_two_machines_on_one_server_see_to_every_reservation_once(project: Project):
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings_here", "PYTHONPATH": project.path}
    command = [sys.executable, "-m", "django", "qcluster"]

    with ExitStack() as machines:
        for _ in range(2):
            log = machines.enter_context(running(command, cwd=project.folder, env=env))
        project.run(SAVE, settings="settings_here")
        until(lambda: project.run(LEFT, settings="settings_here") == "0\n", log=log)
        # One step each, and one attempt.
        assert project.run(STATES, settings="settings_here") == f"{{'completed': {STAYS}}} {STAYS}\n"
