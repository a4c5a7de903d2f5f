"""A `qcluster` of a project that a page describes, for as long as a test needs it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["running", "until"]

LIMIT_SECONDS = 120
"""For what takes ten seconds on a machine with nothing else to do."""


@contextmanager
def running(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[Callable[[], str]]:
    """Run a command beside the block, in a group of its own that is killed at the end; yield what reads its log."""
    log = cwd / "cluster.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield lambda: log.read_text(errors="replace")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(claim: Callable[[], bool], *, log: Callable[[], str]) -> None:
    """Wait until the claim holds; fail with the cluster's log when it does not."""
    end = time.monotonic() + LIMIT_SECONDS
    while not claim():
        assert time.monotonic() < end, f"Not within {LIMIT_SECONDS} s.\n{log()}"
        time.sleep(0.2)
