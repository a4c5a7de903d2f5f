"""`manage.py workflow_doctor`: is automation healthy? For people, and with `--json` and an exit code for machines."""

import json
import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from automation.q2_executor.doctor import examine
from automation.q2_executor.verdict import Examination, ExitCode, Level

MARKS = {
    Level.OK: "ok",
    Level.WARNING: "warn",
    Level.PROBLEM: "BAD",
    Level.UNKNOWN: "unknown",
    Level.STOPPED: "STOPPED",
}


class Command(BaseCommand):
    """Looks at sweeps, schedules, queue, runs, events and settings; changes nothing."""

    help = (
        "Say whether automation is healthy. Exit code 0: yes (warnings included); 1: a person should look; "
        "3: not everything could be looked at; 4: no cluster is working, restart it."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take `--json` and `--max-age`."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--max-age",
            type=float,
            metavar="SECONDS",
            help="how long ago the last sweep may be (default: two intervals and 30 s)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the findings and exit with what follows."""
        max_age = None if options["max_age"] is None else timedelta(seconds=options["max_age"])
        examination = examine(max_age=max_age)
        self._say(examination, as_json=options["json"])
        if examination.exit_code is not ExitCode.HEALTHY:
            sys.exit(examination.exit_code)

    def _say(self, examination: Examination, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(examination.as_json(), indent=2))
            return
        for finding in examination.findings:
            self.stdout.write(f"{MARKS[finding.level]:8}{finding.about}: {finding.message}")
            if finding.remedy:
                self.stdout.write(f"{'':8}  {finding.remedy}")
