"""`manage.py automation_erase app.Model PK`: erase what automations have stored about one entity."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from automation.events.erasing import erase
from automation.events.registry import entity_type_of

__all__ = ["Command"]


class Command(BaseCommand):
    """Erase payloads, snapshots, contexts and error texts about one entity, for example at a person's request."""

    help = "Erase the payloads, contexts and error texts that automations have stored about one entity."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the entity."""
        parser.add_argument("model", help="app_label.Model")
        parser.add_argument("pk", help="the primary key, as text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase, and say how much it was."""
        try:
            entity_type = entity_type_of(apps.get_model(options["model"]))
        except (LookupError, ValueError) as error:
            raise CommandError(f"{options['model']!r} is not an installed model. Write app_label.Model.") from error
        for part, count in erase(entity_type, options["pk"]).items():
            self.stdout.write(f"{part}: {count} rows emptied")
