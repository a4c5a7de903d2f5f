"""What the pages of the examples say to type can be typed, right after a clone."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TYPED = sorted(
    {
        match[1]
        for page in [*ROOT.glob("examples/*/README.md"), ROOT / "Makefile"]
        for match in re.finditer(r'make python ARGS="?([\w/.]+)', page.read_text())
    }
)


@pytest.mark.parametrize("script", TYPED)
def test_the_script_is_there_and_make_runs_it_where_everything_is_installed(script: str):
    shown = subprocess.run(
        # Called by `make test`, make would say which folder it enters and leaves.
        ["make", "--no-print-directory", "--dry-run", "python", f"ARGS={script}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (ROOT / script).is_file()
    assert shown.stdout.splitlines()[-1] == f".venv/bin/hatch run python {script}"


def test_each_example_has_such_a_line():
    examples = {page.parent.name for page in ROOT.glob("examples/*/README.md")}

    assert {script.split("/")[1] for script in TYPED} == examples
