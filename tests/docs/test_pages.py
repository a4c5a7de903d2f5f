"""What the pages tell a newcomer to write works as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.clusters import running, until
from tests.docs.pages import ROOT, Page, Project

PATTERNS = ("*.md", "docs/**/*.md", "packages/*/README.md", "examples/*/README.md", "benchmarks/*.md")
PAGES = sorted({str(path.relative_to(ROOT)) for pattern in PATTERNS for path in ROOT.glob(pattern)})
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
CHECK = """
from django.core.checks import run_checks
advised = "automation_workflows.", "automation_q2_executor.", "automation_bridge."
assert not (found := [each for each in run_checks(tags=["automation"]) if str(each.id).startswith(advised)]), found
"""
"""What a page defines on the way is held against the settings that it advises: a warning is a contradiction."""
GUIDE = "docs/guide.md"
"""Its blocks are run by tests of their own, in tests/guide."""


@pytest.mark.parametrize("page", [page for page in PAGES if page != GUIDE and Page(page).blocks])
def test_every_block_runs(page: str, tmp_path: Path):
    """`migrate` begins with all checks."""
    project = Project(Page(page), tmp_path)

    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    project.run(f"{Page(page).script}\n{CHECK}")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str):
    text = (ROOT / page).read_text()
    missing = [link for link in LINK.findall(text) if not leads_somewhere(ROOT / page, *link)]

    assert missing == []


def leads_somewhere(page: Path, target: str, anchor: str) -> bool:
    there = page.parent / target if target else page
    return there.exists() and (not anchor or anchor in anchors(there.read_text()))


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


class TestReadme:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        project = Project(Page("README.md"), tmp_path)
        project.manage("migrate", "--run-syncdb", "--verbosity", "0")
        return project

    def test_saving_a_confirmed_reservation_prints_the_welcome_and_reserves_the_reminder(self, project: Project):
        said = project.run(
            "from datetime import datetime, timedelta, UTC\n"
            "from bookings.models import Reservation\n"
            "from automation.workflows.models import WorkflowRun\n"
            "at = datetime.now(UTC) + timedelta(hours=5)\n"
            "one = Reservation.objects.create(checkin_at=at, status='confirmed')\n"
            "run = WorkflowRun.objects.get()\n"
            "print(run.status, run.wake_at == at - timedelta(hours=1))\n"
            "one.checkin_at += timedelta(hours=1)\n"
            "one.save()\n"
            "run.refresh_from_db()\n"
            "print(run.status, run.wake_at == at)\n"
            "one.delete()\n"
            "run.refresh_from_db()\n"
            "print(run.status)\n"
        )

        assert said.lower().splitlines() == ["welcome 1", "waiting true", "waiting true", "cancelled"]


class TestHowToRun:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        return Project(Page("docs/how_to_run.md"), tmp_path)

    def test_migrate_installs_the_three_schedules_once(self, project: Project):
        project.manage("migrate", "--verbosity", "0")
        project.manage("migrate", "--verbosity", "0")

        said = project.run(
            "from django_q.models import Schedule\n"
            "print(*Schedule.objects.order_by('name').values_list('name', flat=True), sep='\\n')"
        )

        assert said.splitlines() == ["Events: cleanup_old", "Events: poll_due", "Workflows: process_scheduled"]

    def test_without_a_queue_two_commands_bring_a_reservation_to_its_end(self, tmp_path: Path):
        """The README's reservation: its reminder is an hour before the event."""
        project = Project(Page("README.md"), tmp_path)
        settings = "settings_alone"
        (tmp_path / f"{settings}.py").write_text(Page("docs/how_to_run.md").files[f"{settings}.py"])
        project.manage("migrate", "--run-syncdb", "--verbosity", "0", settings=settings)
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": project.path}
        django = [sys.executable, "-m", "django"]

        with (
            running([*django, "process_events", "--loop"], cwd=tmp_path, env=env),
            running([*django, "process_workflows", "--loop"], cwd=tmp_path, env=env) as log,
        ):
            project.run(
                "from datetime import timedelta\n"
                "from django.utils import timezone\n"
                "from bookings.models import Reservation\n"
                "at = timezone.now() + timedelta(minutes=60, seconds=2)\n"
                "Reservation.objects.create(checkin_at=at, status='confirmed')\n",
                settings=settings,
            )
            states = "from automation.workflows.models import WorkflowRun; print(WorkflowRun.objects.get().status)"
            until(lambda: project.run(states, settings=settings) == "completed\n", log=log)

    def test_the_loop_ends_in_order_when_it_is_told_to(self, project: Project):
        project.manage("migrate", "--verbosity", "0", settings="settings_alone")
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings_alone", "PYTHONPATH": project.path}

        with subprocess.Popen(
            [sys.executable, "-u", "-m", "django", "process_workflows", "--loop"],
            cwd=project.folder,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        ) as loop:
            assert loop.stdout is not None
            assert "Processing workflows" in loop.stdout.readline()
            loop.terminate()
            said, _ = loop.communicate(timeout=60)

        assert (loop.returncode, said) == (0, "Stopped.\n")

    def test_a_project_called_automation_gets_the_error_that_the_page_names(self, tmp_path: Path):
        """It was there before the packages were installed; afterwards `startproject` refuses the name."""
        (tmp_path / "automation").mkdir()
        (tmp_path / "automation" / "__init__.py").touch()
        error = "ModuleNotFoundError: No module named 'automation.events'"

        done = subprocess.run(
            [sys.executable, "-c", "import automation.events"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        assert error in done.stderr
        assert all(error in (ROOT / page).read_text() for page in ("docs/how_to_run.md", "docs/start.md"))

    def test_the_settings_for_postgresql_fit_together(self, project: Project):
        project.manage("check", settings="settings_postgres")


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))

    assert listed == {path.name for path in folder.glob("[0-9]*.md")}
