"""Each example is tested as its reader would test it, with this house's own testing package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IN_THEIR_FOLDERS = [
    ("examples/events_only", "manage.py test"),
    ("examples/reservations", "manage.py test"),
    ("examples/plain_python", f"-m pytest -q -p no:django -p no:cacheprovider -c {os.devnull} ."),
]
AT_THE_ROOT = sorted(
    (".", match[1])
    for page in ROOT.glob("examples/*/README.md")
    for match in re.finditer(r'make python ARGS="(\S+/manage\.py test[^"]*)"', page.read_text())
)
"""What their pages say to type there, where Django would look for the tests of the house if it is not told whose."""


@pytest.mark.parametrize(("folder", "command"), IN_THEIR_FOLDERS + AT_THE_ROOT)
def test_they_pass(folder: str, command: str, tmp_path: Path):
    surroundings = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command.split()],
        cwd=ROOT / folder,
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
