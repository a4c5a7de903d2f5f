"""The README's way to install from a checkout: the siblings come from beside each other, not from an index."""

import shlex
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from tests.installs.conftest import ROOT, Installed
from tests.installs.test_alone import imported, installed_siblings, project


def test_the_readmes_command_installs_all_that_a_project_needs(tmp_path: Path):
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("pip install ./")]
    home = tmp_path / "environment"
    into = ["--quiet", "--python", str(home / "bin" / "python")]
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(home)],
        [*shlex.split(line)[:2], *into, *shlex.split(line)[2:]],
    ):
        subprocess.run([find_uv_bin(), *command], cwd=ROOT, check=True)
    installed = Installed(home, line)

    apps = ("django_q", "automation.events", "automation.workflows", "automation.bridge", "automation.q2_executor")
    assert installed.python(project(*apps) + imported("automation.bridge")).splitlines()[-1] == "['automation.bridge']"
    assert installed_siblings(installed) == str(
        [f"automation-{name}" for name in ("bridge", "events", "q2-executor", "workflows")]
    )
