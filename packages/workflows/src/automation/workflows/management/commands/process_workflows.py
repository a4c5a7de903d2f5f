"""`manage.py process_workflows`: wake what is due and deliver what was sent, once or in a loop, without a queue."""

import threading
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from automation.workflows.core import engine
from automation.workflows.looping import run_loop, stop_on_signals
from automation.workflows.models import WorkflowRun
from automation.workflows.ports import wiring

__all__ = ["Command"]

A_MOMENT = timedelta(milliseconds=50)


class Command(BaseCommand):
    """Sweep the runs: from cron once a minute, or with `--loop` as a service of its own that wakes on time."""

    help = "Wake runs that are due, deliver signals, rescue what lost its worker. Any number of these may run."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how to go about it."""
        parser.add_argument("--loop", action="store_true", help="go on until SIGTERM, waking when a run is due")
        parser.add_argument("--poll-seconds", type=float, default=5.0, help="with --loop, the longest wait (default 5)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep until nothing is due, or until told to stop."""
        if not options["loop"]:
            self.stdout.write(f"{_sweep(threading.Event())} runs moved")
            return
        poll = timedelta(seconds=max(0.05, options["poll_seconds"]))
        with stop_on_signals() as stop:
            self.stdout.write("Processing workflows; stop with Ctrl-C or SIGTERM.")
            run_loop(lambda: _sweep_and_tell_when(poll, stop), stop=stop)
        self.stdout.write("Stopped.")


def _sweep_and_tell_when(poll: timedelta, stop: threading.Event) -> timedelta:
    """Sweep, and return how long to wait: until the next run is due, at most `poll`, and a moment at least."""
    _sweep(stop)
    due_at = _next_due()
    return poll if due_at is None else max(A_MOMENT, min(poll, due_at - wiring.clock.now()))


def _sweep(stop: threading.Event) -> int:
    moved = 0
    while not stop.is_set():
        done = engine.process_scheduled(stop=stop.is_set)
        moved += sum(done[kind] for kind in ("woken", "rescued", "hinted", "resumed", "failed", "delivered"))
        if not done["more"]:
            break
    return moved


def _next_due() -> datetime | None:
    """Return when the next run must be looked at, by index."""
    due = WorkflowRun.objects.filter(next_at__isnull=False).order_by("next_at")
    next_at: datetime | None = due.values_list("next_at", flat=True).first()
    return next_at
