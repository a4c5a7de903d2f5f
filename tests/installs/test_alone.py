"""Each package, installed alone from its wheel with what it declares, does its own part and drags nothing else in."""

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.installs.conftest import FOLDERS, Installed

Install = Callable[[str], Installed]

START_A_PROJECT = """
import django, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="only-for-tests",
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", {apps}],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    Q_CLUSTER={{"name": "alone", "orm": "default", "timeout": 50, "retry": 60, "catch_up": False, "max_attempts": 3}},
)
django.setup()
from django.core.management import call_command
call_command("check", fail_level="ERROR")
call_command("migrate", verbosity=0)
"""


def project(*apps: str) -> str:
    return START_A_PROJECT.format(apps=", ".join(repr(app) for app in apps))


def imported(*names: str) -> str:
    return f"print(sorted(set({names!r}) & set(sys.modules)))"


def installed_siblings(environment: Installed) -> str:
    return environment.python(
        "from importlib.metadata import distributions\n"
        "print(sorted(one.name for one in distributions() if one.name.startswith('automation-')))"
    )


class TestEvents:
    @pytest.fixture
    def alone(self, install: Install) -> Installed:
        return install("automation-events")

    def test_needs_no_sibling(self, alone: Installed):
        assert installed_siblings(alone) == "['automation-events']"

    def test_a_project_starts_without_pydantic_a_queue_or_workflows(self, alone: Installed):
        code = project("automation.events") + imported("pydantic", "django_q", "automation.workflows")

        assert alone.python(code).splitlines()[-1] == "[]"

    def test_neither_pydantic_nor_a_queue_is_installed(self, alone: Installed):
        found = "from importlib.util import find_spec; print([n for n in ('pydantic', 'django_q') if find_spec(n)])"

        assert alone.python(found) == "[]"


class TestWorkflows:
    @pytest.fixture
    def alone(self, install: Install) -> Installed:
        return install("automation-workflows")

    def test_needs_no_sibling(self, alone: Installed):
        assert installed_siblings(alone) == "['automation-workflows']"

    def test_the_engine_imports_where_django_is_not_installed(self, alone: Installed):
        code = (
            "import sys; from importlib.util import find_spec\n"
            "import automation.workflows.core, automation.workflows.memory\n"
            "print(find_spec('django'), 'django' in sys.modules)"
        )

        assert alone.python(code) == "None False"

    def test_its_extra_brings_django_and_no_queue(self, install: Install):
        with_django = install("automation-workflows[django]")

        code = project("automation.workflows") + imported("django_q", "automation.events")
        assert with_django.python(code).splitlines()[-1] == "[]"
        assert installed_siblings(with_django) == "['automation-workflows']"


class TestBridge:
    def test_brings_events_and_workflows_and_no_queue(self, install: Install):
        alone = install("automation-bridge")

        code = project("automation.events", "automation.workflows", "automation.bridge") + imported("django_q")
        assert alone.python(code).splitlines()[-1] == "[]"
        assert installed_siblings(alone) == "['automation-bridge', 'automation-events', 'automation-workflows']"


class TestQ2Executor:
    def test_starts_with_django_q_alone(self, install: Install):
        alone = install("automation-q2-executor")

        code = project("django_q", "automation.q2_executor") + imported("pydantic")
        assert alone.python(code).splitlines()[-1] == "[]"
        assert installed_siblings(alone) == "['automation-q2-executor']"

    def test_serves_events_where_there_are_no_workflows(self, install: Install):
        with_events = install("automation-q2-executor[events]")

        code = project("django_q", "automation.events", "automation.q2_executor")
        code += "from automation.events.ports import wiring; print(wiring.dispatcher is not None)\n"
        assert with_events.python(code).splitlines()[-1] == "True"
        assert installed_siblings(with_events) == "['automation-events', 'automation-q2-executor']"

    def test_serves_workflows_where_there_are_no_events(self, install: Install):
        with_workflows = install("automation-q2-executor[workflows]")

        code = project("django_q", "automation.workflows", "automation.q2_executor")
        code += "from automation.workflows.ports import wiring; print(wiring.executor is not None)\n"
        assert with_workflows.python(code).splitlines()[-1] == "True"
        assert installed_siblings(with_workflows) == "['automation-q2-executor', 'automation-workflows']"


class TestTesting:
    @pytest.fixture
    def alone(self, install: Install) -> Installed:
        return install("automation-testing[pytest]")

    def test_needs_neither_events_nor_workflows(self, alone: Installed):
        code = "import sys, automation.testing\n" + imported("automation.events", "automation.workflows", "django")

        assert alone.python(code) == "[]"
        assert installed_siblings(alone) == "['automation-testing']"

    def test_its_plugin_does_not_harm_a_suite_that_has_nothing_to_do_with_it(self, alone: Installed, tmp_path):
        (tmp_path / "test_other.py").write_text("def test_of_somebody_else():\n    assert True\n")

        done = alone.run("-m", "pytest", "-W", "error", cwd=tmp_path)

        assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_wheel_carries_the_licence(wheels: Path):
    with_it = [
        wheel.name.partition("-")[0]
        for wheel in wheels.glob("*.whl")
        if any(name.endswith(".dist-info/licenses/LICENSE") for name in ZipFile(wheel).namelist())
    ]

    assert sorted(with_it) == [f"automation_{folder.replace('-', '_')}" for folder in FOLDERS]
