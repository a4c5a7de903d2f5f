"""`manage.py process_events`: let due events occur and make the calls that are owed, once or in a loop."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from automation.events.looping import run_loop, stop_on_signals
from automation.events.management.options import add_database, chosen_database
from automation.events.services import event_processor

__all__ = ["Command"]


class Command(BaseCommand):
    """Process what is due: from cron once a minute, or with `--loop` as a service of its own."""

    help = "Let due events occur and make the calls they owe. Any number of these may run side by side."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how to go about it."""
        parser.add_argument("--loop", action="store_true", help="go on until SIGTERM, waking when something is due")
        parser.add_argument("--poll-seconds", type=float, default=5.0, help="with --loop, the longest wait (default 5)")
        add_database(parser)
        parser.add_argument("--hours", type=float, default=24, help="accepted for compatibility and ignored")
        parser.add_argument("--cleanup", action="store_true", help="delete old history as well")
        parser.add_argument("--cleanup-days", type=int, default=30, help="how old history must be (default 30 days)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Process once, or until told to stop."""
        using = chosen_database(options)
        if options["loop"]:
            self._loop(using, timedelta(seconds=max(0.05, options["poll_seconds"])))
            return
        report = event_processor.process_due_events(options["hours"], using=using)
        self.stdout.write(
            f"{report['due_events_found']} due, {report['events_processed']} occurred, "
            f"{report['deliveries_made']} calls made"
        )
        if options["cleanup"]:
            try:
                cleaned = event_processor.cleanup_old_events(options["cleanup_days"], using=using)
            except ValueError as error:
                raise CommandError(str(error)) from error
            self.stdout.write(
                f"{cleaned['deleted_count']} old events deleted, {cleaned['emptied_count']} emptied, "
                f"{cleaned['calls_deleted']} old calls deleted"
            )

    def _loop(self, using: str | None, poll: timedelta) -> None:
        with stop_on_signals() as stop:
            self.stdout.write("Processing events; stop with Ctrl-C or SIGTERM.")
            run_loop(
                lambda: self._process(using, stop),
                lambda: event_processor.next_due_at(using=using),
                stop=stop,
                poll=poll,
            )
        self.stdout.write("Stopped.")

    def _process(self, using: str | None, stop: threading.Event) -> None:
        event_processor.process_due_events(using=using, stop=stop.is_set)
