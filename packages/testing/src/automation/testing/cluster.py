"""A real django-q2 cluster on the database of a test, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from automation.testing.executor import FakeExecutor
from automation.testing.installed import wirings
from automation.testing.lengths import check_length

__all__ = ["DATABASES", "READY", "SETTINGS", "RunningCluster", "running_cluster"]

SETTINGS = "AUTOMATION_CLUSTER_SETTINGS"
"""Names the project's own settings module to the cluster."""
DATABASES = "AUTOMATION_CLUSTER_DATABASES"
"""Gives the names of the test's databases to the cluster: a JSON object, by alias."""
READY = "AUTOMATION_CLUSTER_READY"
"""Names the file that the cluster makes once its workers are there."""

_PAUSE_SECONDS = 0.05
_STOPPING_SECONDS = 10
_LOG_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """A `qcluster` with its sentinel, workers, monitor and pusher, all in one process group."""

    process: "subprocess.Popen[bytes]"
    log: Path
    """What the cluster says."""

    def wait_until(self, condition: Callable[[], Any], *, within: timedelta = timedelta(seconds=60)) -> Any:
        """Wait, in real time, until the condition holds; return its value. Raises AssertionError with the log's end."""
        check_length(within, "within=")
        end = time.monotonic() + within.total_seconds()
        while time.monotonic() < end:
            if found := condition():
                return found
            if self.process.poll() is not None:
                raise AssertionError(f"The cluster has ended by itself. It said:\n{self._last_words()}")
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"It did not come true within {within}. The cluster said:\n{self._last_words()}")

    def kill(self) -> None:
        """Kill every process of the cluster at once, as `kill -9` would; also when the main one is dead."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask the cluster to end, and kill what is left of it."""
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOPPING_SECONDS)
        # Children outlive a main process that was killed or has crashed, and would work on the next test's database.
        self.kill()

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


@contextmanager
def running_cluster(folder: Path, *, within: timedelta = timedelta(seconds=60)) -> Iterator[RunningCluster]:
    """Start `manage.py qcluster` on the test's database, and stop it with all its processes after the block.

    `folder` takes its log. The test must commit for real (`transactional_db`, `TransactionTestCase`), and its database
    must be one that another process can open: not SQLite in memory.
    """
    _refuse_a_fake_queue()
    log, ready = folder / "cluster.log", folder / "cluster.ready"
    ready.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "automation.testing.cluster_process"],
            env={**_environment(), READY: str(ready)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    cluster = RunningCluster(process=process, log=log)
    try:
        cluster.wait_until(ready.exists, within=within)
        yield cluster
    finally:
        cluster.stop()


def _environment() -> dict[str, str]:
    from django.conf import settings
    from django.db import connections

    names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
    if any("mode=memory" in name or name == ":memory:" for name in names.values()):
        raise ValueError(
            "The test's database is SQLite in memory, which no other process can open. "
            'Give it a file: DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}.'
        )
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "automation.testing.cluster_settings",
        SETTINGS: settings.SETTINGS_MODULE,
        DATABASES: json.dumps(names),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _refuse_a_fake_queue() -> None:
    for wiring in wirings():
        for name in ("executor", "dispatcher"):
            if isinstance(getattr(wiring, name, None), FakeExecutor):
                raise RuntimeError(
                    "A Harness is active: its queue would get what the cluster waits for. "
                    "Leave the fixture `automation` out of tests with a real cluster."
                )
