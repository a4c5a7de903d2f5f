"""The main job: the guide, whole, on a real cluster, with no call by hand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2] / "examples" / "reservations"
LIMIT_SECONDS = 120
"""Of a demo that hangs. It tells its story in about twenty seconds, and gives up after forty."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """What `make demo` says where there is no terminal."""
    var = tmp_path_factory.mktemp("reservations") / "var"
    surroundings = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "manage.py", "demo"],
        cwd=PROJECT,
        env={**surroundings, "RESERVATIONS_VAR": str(var), "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )


def test_the_demo_keeps_every_promise(told: "subprocess.CompletedProcess[str]"):
    assert told.returncode == 0, told.stdout + told.stderr
    assert re.search(r"All (\d+) promises were kept", told.stdout)
    assert "BROKEN" not in told.stdout


@pytest.mark.parametrize(
    "happening",
    [
        "Ada +gets mail: welcome",
        "Ben +gets mail: reminder",
        "Ada +checkout_ops.await_docs: wait",
        "Ben +checkout_ops.fallback_docs: goto",
        "Ada +checkout_ops.notify_housekeeping: retry",
        "Dan +pre_arrival_reminder is withdrawn",
        "Ada +checkout_ops.finalize: complete",
    ],
)
def test_the_demo_shows_each_step_as_it_happens(told: "subprocess.CompletedProcess[str]", happening: str):
    assert re.search(happening, told.stdout), told.stdout


def test_the_examples_migrations_are_complete():
    done = subprocess.run(
        [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run", "bookings"],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
