"""The app binds the engine and finds the project's automations, in any order, more than once, without a query."""

import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command

from automation.workflows.core import engine
from automation.workflows.discovery import discover_automations
from automation.workflows.django_storage import DjangoStorage
from automation.workflows.ports import wiring


def test_the_engine_is_bound_to_the_tables() -> None:
    assert isinstance(wiring.storage, DjangoStorage)
    assert wiring.worker is engine


def test_automations_are_found_with_their_submodules() -> None:
    assert "tests.parcelapp.automations" in sys.modules
    assert engine.registry.exact("chain", "1") is not None


def test_being_ready_twice_is_harmless_and_makes_no_query() -> None:
    """No database is open to this test: a query would fail it."""
    apps.get_app_config("automation_workflows").ready()

    assert wiring.worker is engine


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


PROJECT = {
    "shop/__init__.py": "",
    "shop/automations/__init__.py": "found = ['package']\n",
    "shop/automations/deep/__init__.py": "from shop.automations import found\nfound.append('deep')\n",
    "shop/automations/deep/er.py": "from shop.automations import found\nfound.append('deeper')\n",
    "shop/automations/__main__.py": "raise SystemExit('a script is not an automation')\n",
    "plain/__init__.py": "",
    "broken/__init__.py": "",
    "broken/automations.py": "import nowhere_to_be_found\n",
}

ASK = """
import sys, django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=sys.argv[1].split(","),
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
django.setup()
from automation.workflows.ports import wiring
print(type(wiring.storage).__name__, sorted(sys.modules["shop.automations"].found))
"""


def ask(tmp_path: Path, *installed: str) -> "subprocess.CompletedProcess[str]":
    """Start a project of its own with these apps."""
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK, ",".join(installed)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("order", list(permutations(["automation.workflows", "shop", "plain"])), ids=",".join)
def test_the_order_of_the_apps_does_not_matter(tmp_path: Path, order: tuple[str, ...]) -> None:
    answer = ask(tmp_path, *order)

    assert answer.stdout == "DjangoStorage ['deep', 'deeper', 'package']\n", answer.stderr


def test_an_import_error_in_automations_is_raised(tmp_path: Path) -> None:
    answer = ask(tmp_path, "automation.workflows", "shop", "broken")

    assert answer.returncode != 0
    assert "No module named 'nowhere_to_be_found'" in answer.stderr


def test_discovery_executes_a_module_once() -> None:
    before = sys.modules["tests.parcelapp.automations"]

    discover_automations()

    assert sys.modules["tests.parcelapp.automations"] is before


ELSEWHERE = """
import django
from django.conf import settings
database = {"ENGINE": "django.db.backends.sqlite3"}
settings.configure(
    INSTALLED_APPS=["automation.workflows"],
    DATABASES={"default": {**database, "NAME": "default.db"}, "runs": {**database, "NAME": "runs.db"}},
    AUTOMATION_WORKFLOWS={"DATABASE": "runs"},
    USE_TZ=True,
)
django.setup()
from django.core.management import call_command
call_command("migrate", database="runs", verbosity=0)
from pydantic import BaseModel
from automation.workflows.core import complete, engine, step, workflow
from automation.workflows.models import WorkflowRun, WorkflowSignal
from automation.workflows.retention import cleanup

@workflow("elsewhere")
class Elsewhere:
    class Context(BaseModel):
        pass

    @step(start=True)
    def run(self):
        return complete()

run = engine.start("elsewhere", run_key="k")
engine.signal("news")
row = WorkflowRun.objects.get(pk=run.id)
print(row.status, row.attempts.count(), WorkflowSignal.objects.count(), WorkflowRun.objects.completed().count())
engine.process_scheduled()
print(sum(cleanup().values()), WorkflowRun.objects.failed().retry())
"""


def test_runs_live_in_the_database_that_the_settings_name(tmp_path: Path) -> None:
    """The default database has no tables at all: whatever looked there would fail."""
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", ELSEWHERE],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.stdout == "completed 1 1 1\n0 0\n", answer.stderr
