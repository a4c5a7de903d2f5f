"""The plugin is loaded into every test run of whoever has it installed: it must not be noticed."""

import subprocess
import sys
from pathlib import Path

ALONE = ("-p", "no:django", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-W", "error")


def pytest_says(folder: Path, code: str, *options: str) -> str:
    (folder / "test_it.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *ALONE, *options, "test_it.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_run_that_does_not_ask_for_it_has_no_django_and_the_real_time(tmp_path: Path):
    said = pytest_says(
        tmp_path,
        "import sys\nfrom datetime import datetime\n"
        "def test_nothing():\n"
        "    assert 'django' not in sys.modules\n"
        "    assert 'automation.workflows' not in sys.modules\n"
        "    assert datetime.now().year < 2030\n",
    )

    assert "1 passed" in said, said


def test_none_of_its_fixtures_is_autouse(tmp_path: Path):
    said = pytest_says(tmp_path, "def test_nothing(request):\n    assert request.fixturenames == ['request']\n")

    assert "1 passed" in said, said


def test_the_marker_is_known(tmp_path: Path):
    said = pytest_says(
        tmp_path,
        "import pytest\n"
        "@pytest.mark.automation(at='2031-01-01T00:00+00:00')\n"
        "def test_time(automation_clock):\n"
        "    assert automation_clock.now().year == 2031\n",
    )

    assert "1 passed" in said, said


def test_the_harness_works_without_django(tmp_path: Path):
    said = pytest_says(
        tmp_path,
        "import sys\n"
        "def test_time(automation):\n"
        "    automation.advance(hours=1)\n"
        "    assert automation.clock.now().hour == 10\n"
        "    assert 'django' not in sys.modules\n",
    )

    assert "1 passed" in said, said
