"""The package stands alone: it needs neither Django, pytest, events nor workflows to be imported and used."""

import subprocess
import sys
from pathlib import Path

import pytest
import time_machine

import automation.testing as package


@pytest.fixture
def lonely(tmp_path: Path) -> Path:
    """Return a folder to import from that holds this package and time-machine, and nothing else."""
    (tmp_path / "automation").mkdir()
    (tmp_path / "automation" / "testing").symlink_to(Path(package.__file__).parent)
    site = Path(time_machine.__file__).parent.parent
    for found in (*site.glob("time_machine"), *site.glob("_time_machine*")):
        (tmp_path / found.name).symlink_to(found)
    return tmp_path


def run(folder: Path, code: str) -> str:
    # -E and -S: no PYTHONPATH and no site-packages, so nothing that happens to be here can be found.
    done = subprocess.run(
        [sys.executable, "-E", "-S", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_clock_and_executor_work_with_nothing_else_installed(lonely: Path):
    said = run(
        lonely,
        "from automation.testing import FakeClock, FakeExecutor\n"
        "from datetime import datetime, UTC\n"
        "with FakeClock('2030-01-01T12:00+00:00') as clock:\n"
        "    executor = FakeExecutor()\n"
        "    clock.advance(minutes=90)\n"
        "    print(datetime.now(UTC).isoformat(), executor.run_until_idle())\n"
        "print([name for name in ('django', 'pytest', 'pydantic', 'automation.events') if name in sys.modules])",
    )

    assert said.splitlines() == ["2030-01-01T13:30:00+00:00 0", "[]"]


def test_the_harness_moves_time_with_nothing_else_installed(lonely: Path):
    said = run(
        lonely,
        "from automation.testing import Harness\n"
        "with Harness() as automation:\n"
        "    automation.advance(hours=1)\n"
        "    print(automation.clock.now().isoformat())",
    )

    assert said == "2030-01-07T10:00:00+00:00"


def test_a_verb_that_needs_workflows_says_so(lonely: Path):
    said = run(
        lonely,
        "from automation.testing import Harness\n"
        "with Harness() as automation:\n"
        "    try:\n"
        "        automation.start('anything')\n"
        "    except RuntimeError as error:\n"
        "        print(error)",
    )

    assert said == "This needs workflows: install automation-workflows beside automation-testing."


def test_the_plugin_imports_no_django_and_nothing_of_ours():
    code = (
        "import sys, automation.testing.plugin\n"
        "print([name for name in sys.modules if name == 'django' or name.startswith(('automation.events', "
        "'automation.workflows', 'django.', 'pydantic'))])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[]"
