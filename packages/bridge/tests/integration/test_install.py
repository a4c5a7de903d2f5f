"""The order of INSTALLED_APPS does not matter, `ready()` may run twice, and nothing is asked of the database."""

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]

PROBE = """
import sys, django
from django.conf import settings
settings.configure(
    SECRET_KEY="x", USE_TZ=True, INSTALLED_APPS=["django.contrib.contenttypes", *sys.argv[1:]],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
from django.db.backends.base.base import BaseDatabaseWrapper
def forbidden(*_, **__):
    raise AssertionError("a query was made")
BaseDatabaseWrapper.cursor = forbidden
django.setup()
from django.apps import apps
apps.get_app_config("automation_bridge").ready()
from automation.events.ports import wiring as events
from automation.workflows.ports import wiring as workflows
print([one.name for one in events.subscribers], type(workflows.occurrences).__name__, events.subscribers[0].alias)
"""


@pytest.mark.parametrize(
    "apps",
    list(permutations(["automation.events", "automation.workflows", "automation.bridge"])),
    ids=lambda apps: " ".join(app.rpartition(".")[2] for app in apps),
)
def test_the_order_of_the_apps_does_not_matter(apps: tuple[str, ...]):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *apps], cwd=HERE, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['workflows'] EventOccurrences default"
