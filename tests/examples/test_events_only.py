"""The example that installs events alone: a loop, and cron."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "examples" / "events_only"


def start(database: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "EXAMPLE_DATABASE": str(database), "DJANGO_SETTINGS_MODULE": "config.settings"}
    with database.with_suffix(".txt").open("a") as out:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=out, text=True)


def run(database: Path, *arguments: str) -> None:
    assert start(database, *arguments).wait(timeout=180) == 0


def printed(database: Path) -> list[str]:
    return database.with_suffix(".txt").read_text().splitlines()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < until, "not within three minutes"
        time.sleep(0.05)


def test_the_loop_calls_each_at_its_time_and_stops_when_told(tmp_path: Path) -> None:
    database = tmp_path / "library.sqlite3"
    run(database, "migrate", "-v0")
    loop = start(database, "process_events", "--loop", "--poll-seconds", "0.5")
    try:
        run(database, "lend", "--seconds", "4")
        wait_until(lambda: "to Ada: Emma is due now" in printed(database))
        loop.send_signal(signal.SIGTERM)
        assert loop.wait(timeout=180) == 0
    finally:
        loop.kill()
        loop.wait()
    out = printed(database)
    assert "to Grace: thank you for Middlemarch" in out
    assert "nothing more to demand: Ulysses, lent to Alan" in out
    assert out.index("to Ada: Emma is due in a moment") < out.index("to Ada: Emma is due now")
    assert out[-1] == "Stopped."


def test_cron_makes_good_what_nobody_looked_at(tmp_path: Path) -> None:
    database = tmp_path / "library.sqlite3"
    run(database, "migrate", "-v0")
    run(database, "lend", "--seconds", "0.1")

    def cron_has_called() -> bool:
        run(database, "process_events")
        return "to Ada: Emma is due now" in printed(database)

    wait_until(cron_has_called)
    run(database, "process_events")
    assert printed(database).count("to Ada: Emma is due now") == 1
