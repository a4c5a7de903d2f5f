"""The main job: the guide, whole, on a real cluster, with no call by hand."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2] / "examples" / "reservations"
LIMIT_SECONDS = 60
"""What a newcomer is promised. The demo tells its story in about twenty seconds, and gives up after forty."""


@contextmanager
def demo(var: Path) -> "Iterator[subprocess.Popen[str]]":
    """The demo where there is no terminal. Told to stop, if need be, so that its cluster goes with it."""
    surroundings = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        cwd=PROJECT,
        env={**surroundings, "RESERVATIONS_VAR": str(var), "COLUMNS": "160", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `make demo` says, within its minute; it exits with 0."""
    with demo(tmp_path_factory.mktemp("reservations") / "var") as process:
        said, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, said
    return said


def test_the_demo_keeps_every_promise(told: str):
    assert re.search(r"All (\d+) promises were kept", told)
    assert "BROKEN" not in told


@pytest.mark.parametrize(
    "happening",
    [
        "Ada +reservation_confirmed occurs",
        "Ada +gets mail: welcome",
        "Ben +gets mail: reminder",
        "Ada +checkout_ops.await_docs: wait",
        "Ben +checkout_ops.fallback_docs: goto",
        "Ada +checkout_ops.notify_housekeeping: retry",
        "Dan +pre_arrival_reminder is withdrawn",
        "Ada +checkout_ops.finalize: complete",
    ],
)
def test_the_demo_shows_each_step_as_it_happens(told: str, happening: str):
    assert re.search(happening, told), told


@pytest.mark.parametrize("guest", ["Ada", "Ben", "Chloe"])
def test_one_sees_that_the_reminder_comes_before_its_event(told: str, guest: str):
    reminded, due = (re.search(rf"{guest} +{what}", told) for what in ("gets mail: reminder", "checkin_due occurs"))

    assert reminded, told
    assert due, told
    assert reminded.start() < due.start()


def processes() -> dict[int, tuple[int, int]]:
    """Every process that is running: its parent and its group."""
    lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], text=True).splitlines()
    columns = [line.split() for line in lines]
    return {int(pid): (int(parent), int(group)) for pid, parent, group, state, *_ in columns if state[0] != "Z"}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_demo_that_is_stopped_takes_its_cluster_along(number: signal.Signals, tmp_path: Path):
    """A terminal that was closed left a cluster behind, working for ever on a database that nobody looks at."""
    with demo(tmp_path / "var") as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if "waiting for the cluster" in line)
        groups = {group for parent, group in processes().values() if parent == process.pid}
        assert groups - {os.getpgid(process.pid)} == groups != set()

        process.send_signal(number)
        process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 128 + number
    left = {group for _, group in processes().values()} & groups
    until = time.monotonic() + LIMIT_SECONDS
    while left and time.monotonic() < until:
        # Killed is not yet gone.
        time.sleep(0.05)
        left = {group for _, group in processes().values()} & groups
    assert left == set()


def test_the_demo_removes_nothing_of_others(tmp_path: Path):
    """Its folder is whatever RESERVATIONS_VAR names: somebody's home, perhaps."""
    (tmp_path / "letters.txt").write_text("kept")
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert next(line for line in process.stdout if "waiting for the cluster" in line)

    assert (tmp_path / "letters.txt").read_text() == "kept"


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
