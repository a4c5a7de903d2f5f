"""`manage.py workflow_doctor`: is automation healthy? For people, and with `--json` and an exit code for machines."""

import json
import math
import sys
from argparse import ArgumentTypeError
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


def _age(text: str) -> timedelta:
    """Read an age that a sweep may have, and sometimes has not: by another, a supervisor always restarts, or never."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return timedelta(seconds=seconds)


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
            type=_age,
            metavar="SECONDS",
            help="how long ago the last sweep may be (default: two intervals and 30 s)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the findings and exit with what follows."""
        examination = examine(max_age=options["max_age"])
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
