"""Processing in a loop: wake when the next thing is due, look now and then anyway, stop between two calls."""

from __future__ import annotations

import logging
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import FrameType
from typing import Any

from django.db import close_old_connections

from automation.events.ports.wiring import wiring

__all__ = ["run_loop", "stop_on_signals"]

logger = logging.getLogger("automation.events")

BACKOFF_LIMIT = timedelta(seconds=30)


def run_loop(
    process: Callable[[], Any],
    next_due_at: Callable[[], datetime | None],
    *,
    stop: threading.Event,
    poll: timedelta,
) -> None:
    """Process until `stop` is set: at each due time, and at least every `poll`, for what other processes have armed.

    When the database cannot be reached, or an adapter raises, it waits, longer each time, and goes on.
    """
    failures = 0
    while not stop.is_set():
        close_old_connections()
        try:
            process()
            pause = _until(next_due_at(), poll)
            failures = 0
        except Exception:  # a service must outlive a database that is away, and whatever an adapter raises
            failures += 1
            logger.exception("Processing failed; trying again.")
            pause = min(timedelta(seconds=2 ** min(failures, 10)), BACKOFF_LIMIT) * random.uniform(0.5, 1)
        stop.wait(pause.total_seconds())


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; the call under way is finished first. A second SIGINT interrupts."""
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


def _until(moment: datetime | None, poll: timedelta) -> timedelta:
    """Return how long to wait: until the next due time, at most `poll`, and a moment at least."""
    if moment is None:
        return poll
    ahead: timedelta = moment - wiring.clock.now()
    return max(timedelta(milliseconds=50), min(poll, ahead))
