"""`manage.py workflow_cleanup`: delete what has been kept long enough, where no daily task does."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from automation.workflows.retention import cleanup

__all__ = ["Command"]


class Command(BaseCommand):
    """Runs the clean-up once."""

    help = "Delete finished runs, delivered signals and old keys by the retention in AUTOMATION_WORKFLOWS."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the database."""
        parser.add_argument("--database", default=None, help="the alias that holds the runs, if not the setting's")

    def handle(self, *args: Any, **options: Any) -> None:
        """Clean up and say what was deleted."""
        deleted = cleanup(using=options["database"])
        self.stdout.write(", ".join(f"{kind}: {count}" for kind, count in deleted.items()))
