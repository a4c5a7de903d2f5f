"""`manage.py workflow_graph`: the steps of workflows as Mermaid diagrams."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.registry import registry
from automation.workflows.graph import mermaid

__all__ = ["Command"]


class Command(BaseCommand):
    """Prints a diagram for each workflow asked for, or for all."""

    help = "Print the steps of workflows, as far as their source tells, as Mermaid state diagrams."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take names; none means all."""
        parser.add_argument("name", nargs="*", help="names of workflows; all when none is given")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them, with an empty line between."""
        definitions = sorted(registry, key=lambda definition: (definition.name, definition.version))
        chosen = [each for each in definitions if not options["name"] or each.name in options["name"]]
        self._refuse_unknown(options["name"], definitions)
        self.stdout.write("\n\n".join(mermaid(definition) for definition in chosen))

    def _refuse_unknown(self, names: list[str], definitions: list[WorkflowDefinition]) -> None:
        known = [definition.name for definition in definitions]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise CommandError(f"No workflow is called {unknown[0]!r}. Registered: {', '.join(dict.fromkeys(known))}.")
