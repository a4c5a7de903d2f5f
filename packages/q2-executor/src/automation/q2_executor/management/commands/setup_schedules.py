"""`manage.py setup_schedules`: put the three schedules in place."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from automation.q2_executor.conf import schedules_wanted
from automation.q2_executor.schedules import install


class Command(BaseCommand):
    """Installs what is missing, repairs what differs, removes doubles."""

    help = "Install or repair the schedules of events and workflows in django-q2. Safe to run at any time."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take `--force`."""
        parser.add_argument("--force", action="store_true", help="also when SKIP_Q2_AUTOSCHEDULE = True")

    def handle(self, *_: Any, force: bool = False, **__: Any) -> None:
        """Print a line for each schedule."""
        if not schedules_wanted() and not force:
            self.stdout.write("SKIP_Q2_AUTOSCHEDULE is True, so nothing was installed. Use --force to install anyway.")
            return
        for change in install():
            self.stdout.write(f"{change.title}: {change.did}")
