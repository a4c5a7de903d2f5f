"""`manage.py sync_events [app.Model ...]`: bring the stored events in line with the data and the code."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model

from automation.events.databases import aliases, may_hold
from automation.events.declaring import declaring_models, derive_all, note_as_current
from automation.events.management.options import add_database, chosen_database
from automation.events.ports import wiring
from automation.events.ports.subscriber import Deriving
from automation.events.progress import Progress
from automation.events.registry import declared, entity_type_of
from automation.events.syncing import SyncReport, sync
from automation.events.withdrawing import retire_vanished, withdraw_calls, withdraw_events

__all__ = ["Command"]


class Command(BaseCommand):
    """Reconcile rows in bulk: after `update()` and imports, when adopting the package, and as a step of a deploy."""

    help = (
        "Bring the events of these models (or of all) in line with the database and the code. Without models, what "
        "the code no longer declares is taken back as well."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the models and how to go about it."""
        parser.add_argument("models", nargs="*", metavar="app.Model", help="default: every model that declares events")
        add_database(parser)
        parser.add_argument("--dry-run", action="store_true", help="count what would change, and change nothing")
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sync each model on each database."""
        using = chosen_database(options)
        models = [self._model(label) for label in options["models"]] or declaring_models()
        for alias in aliases(only=using):
            for model in (one for one in models if may_hold(alias, one)):
                self._sync(model, alias, dry_run=options["dry_run"], quiet=options["no_progress"])
            if not options["models"]:
                self._follow_the_code(alias, dry_run=options["dry_run"])
        if not options["models"]:
            self._withdraw_elsewhere(using, dry_run=options["dry_run"])

    def _sync(self, model: type[Model], alias: str, *, dry_run: bool, quiet: bool) -> None:
        rows = model._base_manager.using(alias)
        visible = not quiet and self.stderr.isatty()
        with Progress(self.stderr, model._meta.label, total=rows.count() if visible else 0, visible=visible) as bar:
            report = sync(rows.all(), dry_run=dry_run, progress=bar.advance)
        types = sorted({one.entity_type for one in declared(model) if one.entity_type == entity_type_of(model)})
        report += SyncReport(retired=retire_vanished(types, using=alias, dry_run=dry_run))
        self._say(f"{model._meta.label} on {alias}", report, dry_run=dry_run)

    def _follow_the_code(self, alias: str, *, dry_run: bool) -> None:
        events = withdraw_events(using=alias, dry_run=dry_run)
        calls = withdraw_calls(using=alias, dry_run=dry_run)
        if not dry_run:
            derive_all(using=alias)
            note_as_current(using=alias)
        verb = "would be withdrawn" if dry_run else "withdrawn"
        self.stdout.write(f"{alias}: {events} events and {calls} calls {verb}")

    def _withdraw_elsewhere(self, database: str | None, *, dry_run: bool) -> None:
        """Let subscribers take back what they hang on events: once for all databases, for they have their own."""
        verb = "would be withdrawn" if dry_run else "withdrawn"
        for subscriber in wiring.subscribers:
            if isinstance(subscriber, Deriving) and database in {None, subscriber.alias}:
                self.stdout.write(f"{subscriber.name}: {subscriber.withdraw(dry_run=dry_run)} {verb}")

    def _say(self, what: str, report: SyncReport, *, dry_run: bool) -> None:
        prefix = "would do: " if dry_run else ""
        self.stdout.write(
            f"{what}: {prefix}{report.entities} entities, {report.created} events created, {report.changed} changed, "
            f"{report.rearmed} armed again, {report.retired} retired"
        )

    def _model(self, label: str) -> type[Model]:
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError) as error:
            raise CommandError(f"{label!r} is not an installed model. Write app_label.Model.") from error
        if not declared(model):
            known = ", ".join(sorted(model._meta.label for model in declaring_models()))
            raise CommandError(f"{label!r} declares no events. Models that do: {known or 'none'}.")
        return model
