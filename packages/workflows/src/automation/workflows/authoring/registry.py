"""Which workflows there are. One registry per process, filled by the decorators."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.entities import EntityRef
from automation.workflows.errors import DefinitionError, UnknownWorkflow

__all__ = ["Registry", "registry"]

logger = logging.getLogger("automation.workflows")


@dataclass(slots=True)
class Registry:
    """Workflows by name and version."""

    _versions: dict[str, dict[str, WorkflowDefinition]] = field(default_factory=dict)

    def register(self, definition: WorkflowDefinition) -> None:
        """Add a workflow. The same class read again replaces itself; another one under its name is an error."""
        versions = self._versions.get(definition.name, {})
        held = versions.get(definition.version)
        if held is not None and held.owner != definition.owner:
            raise DefinitionError(
                f"The name {definition.name!r}, version {definition.version!r}, is already taken by {held.owner}; "
                f"{definition.owner} needs another. Pass name=..., or version=... for a new version."
            )
        rivals = [other for other in versions.values() if other.current and other.owner != definition.owner]
        if definition.current and rivals:
            raise DefinitionError(
                f"Workflow {definition.name!r} has two current versions: {rivals[0].version!r} ({rivals[0].owner}) and "
                f"{definition.version!r} ({definition.owner}). Keep current=True on one."
            )
        self._versions.setdefault(definition.name, {})[definition.version] = definition

    def unregister(self, definition: WorkflowDefinition) -> None:
        """Take a workflow out again (for tests)."""
        versions = self._versions.get(definition.name, {})
        versions.pop(definition.version, None)
        if not versions:
            self._versions.pop(definition.name, None)

    def exact(self, name: str, version: str) -> WorkflowDefinition | None:
        """Return this very version, if it is loaded."""
        return self._versions.get(name, {}).get(version)

    def newest(self, name: str) -> WorkflowDefinition | None:
        """Return the version that new runs take: the only one, or the one declared current."""
        versions = list(self._versions.get(name, {}).values())
        if len(versions) == 1:
            return versions[0]
        return next((definition for definition in versions if definition.current), None)

    def timeouts(self) -> dict[str, timedelta]:
        """Return the timeouts that steps name, by `workflow.step`."""
        return {
            f"{definition.name}.{step.name}": step.timeout
            for definition in self
            for step in definition.steps.values()
            if step.timeout is not None
        }

    def to_start(self, wanted: str | type) -> WorkflowDefinition:
        """Return the workflow that `engine.start` means. Raises UnknownWorkflow, listing those that exist."""
        return self._by_name(wanted) if isinstance(wanted, str) else self._by_class(wanted)

    def triggered_by(self, event_name: str, entity: EntityRef) -> Sequence[WorkflowDefinition]:
        """Return the workflows that an event of this name on this entity starts, in the order of their names."""
        concerned = {
            definition.name
            for definition in self
            if definition.trigger is not None and definition.trigger.concerns(event_name, entity)
        }
        newest = {name: self.newest(name) for name in sorted(concerned)}
        for name in [name for name, definition in newest.items() if definition is None]:
            # A save must not fail for it, and a start that is left out must not go unseen.
            logger.error("%s Event %r starts none of them: pass current=True to one.", self.undecided(name), event_name)
        return [each for each in newest.values() if each and each.trigger and each.trigger.concerns(event_name, entity)]

    def undecided(self, name: str) -> str:
        """Say what is missing where a name has several versions and none is current; nothing where one is."""
        versions = self._versions.get(name)
        if not versions or self.newest(name) is not None:
            return ""
        return f"Workflow {name!r} has the versions {', '.join(sorted(versions))}, and none is current."

    def __iter__(self) -> Iterator[WorkflowDefinition]:
        for versions in list(self._versions.values()):
            yield from list(versions.values())

    def _by_name(self, name: str) -> WorkflowDefinition:
        found = self.newest(name)
        if found is not None:
            return found
        if undecided := self.undecided(name):
            raise UnknownWorkflow(f"{undecided} Pass current=True to one of them.")
        raise UnknownWorkflow(self._missing(name))

    def _by_class(self, cls: type) -> WorkflowDefinition:
        for definition in self:
            if definition.cls is cls:
                return definition
        raise UnknownWorkflow(f"{cls!r} is not a workflow. Write @workflow('a_name') over it.")

    def _missing(self, name: str) -> str:
        known = sorted(self._versions)
        near = get_close_matches(name, known, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(known) or "none; is the module that defines them imported?"
        return f"Workflow {name!r} is not registered.{guess} Registered: {listed}."


registry = Registry()
