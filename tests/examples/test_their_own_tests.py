"""Each example is tested as its reader would test it, with this house's own testing package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("events_only", ["manage.py", "test"]),
        ("reservations", ["manage.py", "test"]),
        ("plain_python", ["-m", "pytest", "-q", "-p", "no:django", "-p", "no:cacheprovider", "-c", os.devnull, "."]),
    ],
)
def test_they_pass(name: str, command: list[str], tmp_path: Path):
    surroundings = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=EXAMPLES / name,
        env={**surroundings, "RESERVATIONS_VAR": str(tmp_path / "var"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert " running to " not in said, "What the engine logs is between the dots:\n" + said
    assert re.search(r"^(Ran [1-9]\d* tests|[1-9]\d* passed)", said, re.MULTILINE), said
