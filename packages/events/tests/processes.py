"""Starting real processes on the test's database, and waiting for what they do."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

ROOT = Path(__file__).parent.parent
PATIENCE = 180
"""Seconds after which something is held to be stuck: a machine with much else to do takes long to start a process."""


def start(*arguments, quiet=False):
    """Start Python with these arguments in a project on this test's database."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings_child",
        "TEST_CHILD_DATABASE": str(connection.settings_dict["NAME"]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,  # nobody reads a loop's log, and a full pipe blocks
        text=True,
    )


def start_loop(*arguments):
    return start("-m", "django", "process_events", "--loop", "--poll-seconds", "0.2", *arguments, quiet=True)


@contextmanager
def ended(processes):
    """Let no process outlive the block."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def wait_until(condition, *, seconds=PATIENCE, pause=0.05):
    """Look again and again until it holds; fail when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"Not within {seconds} s: {condition}")
        time.sleep(pause)
