"""A real django-q2 cluster beside this process."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from django.conf import settings
from django_q.status import Stat

STOP_SECONDS = 5
"""The cluster finishes what it has begun when asked to stop. It is not waited for longer than this."""


class Cluster:
    """`manage.py qcluster` in a process group of its own, so that all of its processes end together."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Cluster":
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, settings.PROJECT / "manage.py", "qcluster"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._signal(signal.SIGTERM)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_SECONDS)
        finally:
            # Also when somebody loses patience meanwhile. The first process may be gone while its children are not.
            self._signal(signal.SIGKILL)
            self._process.wait()

    @property
    def workers(self) -> int:
        """How many workers have reported for duty."""
        return sum(len(cluster.workers) for cluster in Stat.get_all())

    @property
    def has_died(self) -> bool:
        """It ended although nobody asked it to."""
        return self._process is not None and self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
