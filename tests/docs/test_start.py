"""Somebody follows docs/start.md in an empty folder, or puts the README into a project; the cluster does the rest."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.docs.clusters import running, until
from tests.docs.pages import ROOT, Page, Project

PAGE = Page("docs/start.md")
TEXT = (ROOT / PAGE.path).read_text()
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"[\w-]+")


class Newcomer:
    """Types what the page says to type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = str(Path(sys.executable).parent)
        without = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        self.env = {**without, "PATH": f"{found}{os.pathsep}{os.environ['PATH']}"}

    def type(self, line: str, *, said_to_it: str = "") -> str:
        done = subprocess.run(
            shlex.split(line),
            cwd=self.folder,
            env=self.env,
            input=said_to_it,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install(self, line: str) -> None:
        """Nothing is downloaded: what the page names is what is installed here."""
        _, _, *requirements = shlex.split(line)
        assert [version(NAME.match(each)[0]) for each in requirements]  # type: ignore[index]

    def write(self, name: str, block: str) -> None:
        """Settings go to the end of what `startproject` made, everything else is the file."""
        path = self.folder / name
        before = path.read_text() if path.name == "settings.py" else ""
        path.write_text(f"{before}\n{block}")


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


def test_the_page_leads_from_an_empty_folder_to_a_workflow_that_has_run(newcomer: Newcomer):
    project, before, cluster, look = (block.splitlines() for block in CONSOLE.findall(TEXT))
    newcomer.install(project[0])
    for line in project[1:]:
        newcomer.type(line)
    for name, block in PAGE.files.items():
        newcomer.write(name, block)
    said = [newcomer.type(line) for line in before]
    assert "no issues" in said[-1]

    with running(shlex.split(cluster[0]), cwd=newcomer.folder, env=newcomer.env) as log:
        newcomer.type("python manage.py shell", said_to_it=PAGE.script)
        until(lambda: newcomer.type(look[0]).splitlines()[-1].startswith("20"), log=log)


def test_the_readme_leads_to_a_workflow_that_has_run(tmp_path: Path):
    """With the settings of docs/how_to_run.md, to which it points."""
    project = Project(Page("README.md"), tmp_path)
    project.manage("migrate", "--run-syncdb", "--verbosity", "0")
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": project.path,
        # What a worker prints is in the log at once, not when it ends.
        "PYTHONUNBUFFERED": "1",
    }

    with running([sys.executable, "-m", "django", "qcluster"], cwd=tmp_path, env=env) as log:
        said = project.run(
            "from datetime import timedelta\n"
            "from django.utils import timezone\n"
            "from bookings.models import Reservation\n"
            "at = timezone.now() + timedelta(minutes=60, seconds=5)\n"
            "Reservation.objects.create(checkin_at=at, status='confirmed')\n"
        )
        # By whom the save was made, or by the cluster's first poll when that comes between the commit and the call.
        until(lambda: f"{said}{log()}".count("Welcome 1\n") == 1, log=log)
        states = "from automation.workflows.models import WorkflowRun; print(WorkflowRun.objects.get().status)"
        until(lambda: project.run(states) == "completed\n", log=log)
