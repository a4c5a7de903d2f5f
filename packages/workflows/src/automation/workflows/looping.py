"""Sweeping in a loop: wake when the next run is due, look now and then anyway, stop between two runs."""

import logging
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from django.db import close_old_connections

__all__ = ["run_loop", "stop_on_signals"]

logger = logging.getLogger("automation.workflows")

BACKOFF_LIMIT = timedelta(seconds=30)


def run_loop(sweep: Callable[[], timedelta], *, stop: threading.Event) -> None:
    """Sweep until `stop` is set; a sweep returns how long to wait for the next.

    When the database cannot be reached, or an adapter raises, it waits, longer each time, and goes on.
    """
    failures = 0
    while not stop.is_set():
        close_old_connections()
        try:
            pause = sweep()
            failures = 0
        except Exception:
            # A service must outlive a database that is away, and whatever an adapter raises.
            failures += 1
            logger.exception("The sweep failed; trying again.")
            pause = min(timedelta(seconds=2 ** min(failures, 10)), BACKOFF_LIMIT) * random.uniform(0.5, 1)
        stop.wait(pause.total_seconds())


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; the run at hand is first brought to its next pause."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
