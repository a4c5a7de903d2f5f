"""The package works with either half, with both, in any order of INSTALLED_APPS, and asks nothing of the database."""

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parents[2]

PROBE = """
import json, os, sys, time
import django
from django.conf import settings
from automation.testing.databases import sqlite
from pathlib import Path

apps = json.loads(sys.argv[1])
# What Django does itself where settings are a module.
os.environ["TZ"] = "America/New_York"
time.tzset()
settings.configure(
    SECRET_KEY="x", USE_TZ="naive" not in sys.argv, TIME_ZONE="America/New_York",
    INSTALLED_APPS=["django.contrib.contenttypes", *apps],
    DATABASES={"default": sqlite(Path(sys.argv[2]))},
    Q_CLUSTER={"name": "x", "orm": "default", "timeout": 50, "retry": 60, "catch_up": False, "max_attempts": 3},
)
def forbidden(*_, **__):
    raise AssertionError("a query was made before anybody asked for one")
from django.db.backends.base.base import BaseDatabaseWrapper
cursor, BaseDatabaseWrapper.cursor = BaseDatabaseWrapper.cursor, forbidden
django.setup()
BaseDatabaseWrapper.cursor = cursor
from django.apps import apps as registry
registry.get_app_config("automation_q2_executor").ready()
from django.core.management import call_command
said = {"schedules": [], "executor": None, "dispatcher": None}
if "migrate" in sys.argv:
    call_command("migrate", verbosity=0)
    from django_q.models import Schedule
    said["schedules"] = sorted(Schedule.objects.values_list("name", flat=True))
    from automation.q2_executor import tasks
    if "automation.workflows" in apps:
        tasks.process_scheduled_workflows()
    if "automation.events" in apps:
        tasks.poll_due_events()
        tasks.cleanup_old_events()
    from automation.q2_executor.doctor import examine
    bad = [each for each in examine().findings if each.level in {"problem", "stopped"}]
    said["doctor"] = [f"{each.level} {each.about}: {each.message}" for each in bad]
for half, what in (("workflows", "executor"), ("events", "dispatcher")):
    module = sys.modules.get(f"automation.{half}.ports")
    if module is not None:
        said[what] = type(getattr(module.wiring, what)).__name__
if "naive" in sys.argv:
    from datetime import UTC, datetime, timedelta
    from automation.events.ports import wiring
    from django_q.brokers import get_broker
    from django_q.models import OrmQ
    for seconds in (60, 60, -1):
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        wiring.dispatcher.hint(at, using="default")
    locks = OrmQ.objects.exclude(lock__gt=datetime.now() + timedelta(seconds=90)).values_list("lock", flat=True)
    said["ahead"] = sorted(round((lock - datetime.now()).total_seconds(), -1) for lock in locks)
    said["fetchable"] = get_broker().queue_size()
telling = ("automation.events.models", "automation.workflows.models", "pydantic")
said["imported"] = [name for name in telling if name in sys.modules]
print(json.dumps(said))
"""


def probe(apps: list[str], tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Set a project with these apps up in a process of its own; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(apps), str(tmp_path / "probe.sqlite3"), *arguments],
        cwd=HERE,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_with_events_alone_there_is_a_dispatcher_and_no_workflows(tmp_path: Path):
    said = probe(["django_q", "automation.events", "automation.q2_executor"], tmp_path, "migrate")

    assert said["dispatcher"] == "Q2Dispatcher"
    assert said["schedules"] == ["Events: cleanup_old", "Events: poll_due"]
    assert said["imported"] == ["automation.events.models"]
    assert said["doctor"] == []


def test_with_workflows_alone_there_is_an_executor_and_no_events(tmp_path: Path):
    said = probe(["django_q", "automation.workflows", "automation.q2_executor"], tmp_path, "migrate")

    assert said["executor"] == "Q2Executor"
    assert said["schedules"] == ["Workflows: process_scheduled"]
    assert "automation.events.models" not in said["imported"]
    assert said["doctor"] == []


@pytest.mark.parametrize(
    "apps",
    [
        list(order)
        for order in permutations(["django_q", "automation.events", "automation.workflows", "automation.q2_executor"])
        if order.index("automation.q2_executor") in {0, 3} or order.index("django_q") == 3
    ][::2],
    ids=lambda apps: " ".join(app.rpartition(".")[2] for app in apps),
)
def test_the_order_of_the_apps_does_not_matter(apps: list[str], tmp_path: Path):
    said = probe(apps, tmp_path)

    assert (said["executor"], said["dispatcher"]) == ("Q2Executor", "Q2Dispatcher")


def test_without_q2_it_says_what_is_missing(tmp_path: Path):
    with pytest.raises(AssertionError, match="needs 'django_q' in INSTALLED_APPS"):
        probe(["automation.events", "automation.q2_executor"], tmp_path)


def test_without_time_zones_timers_are_where_q2_looks_for_them(tmp_path: Path):
    """`USE_TZ = False`: q2 compares naive local times."""
    said = probe(["django_q", "automation.events", "automation.q2_executor"], tmp_path, "migrate", "naive")

    assert said["doctor"] == []
    assert said["ahead"] in ([0, 60], [0, 60, 60]), "two looks may fall on both sides of a second"
    assert said["fetchable"] == 1
