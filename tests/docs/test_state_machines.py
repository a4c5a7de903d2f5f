"""The diagrams in the docs are those of the code."""

import subprocess
import sys

from tests.docs.pages import ROOT

TOOL = ROOT / "tools" / "state_machines.py"
PAGE = ROOT / "docs" / "state_machines.md"


def test_the_page_says_what_the_tables_say():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_status_and_cause_is_on_the_page():
    from automation.events.lifecycle.transitions import TRANSITIONS as EVENTS
    from automation.workflows.runs.transitions import TRANSITIONS as RUNS

    page = PAGE.read_text()
    rows = sum(len(causes) or 1 for table in (EVENTS, RUNS) for causes in table.values())

    assert page.count("\n| ") - page.count("\n| from ") == rows
