"""What a workflow is once its class has been read: frozen, checked, free of magic attributes."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from automation.workflows.authoring.entities import EntityRef
from automation.workflows.authoring.retry import Retry
from automation.workflows.errors import ProgrammingError

__all__ = ["StepDefinition", "Trigger", "WorkflowDefinition"]

_EVENT_FIELDS = ("event_id", "event_name", "entity_id", "entity_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDefinition:
    """One step: a function of the workflow class and how it is run."""

    name: str
    function: Callable[..., Any]
    start: bool = False
    retry: Retry
    atomic: bool = True
    """The body shares one transaction with the move that it leads to."""
    timeout: timedelta | None = None
    is_async: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Which events start the workflow, and how long before or after them."""

    event_name: str
    entity_type: str = "*"
    """`"*"`, `"reservation"` or `"bookings.reservation"`."""
    offset: timedelta = timedelta(0)

    def concerns(self, event_name: str, entity: EntityRef) -> bool:
        """Return whether an event of this name, on this entity, is meant."""
        if self.event_name != event_name:
            return False
        wanted = self.entity_type.lower()
        return wanted in {"*", entity.type, entity.type.rpartition(".")[2]}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDefinition:
    """One version of one workflow."""

    name: str
    version: str
    owner: str
    """`module.qualname` of the class: a class read again, as by a reload, replaces itself and nothing else."""
    cls: type[Any]
    context: type[BaseModel]
    steps: Mapping[str, StepDefinition]
    start_step: str
    on_fail: str | None = None
    trigger: Trigger | None = None
    deadline: timedelta | None = None
    """A run that has not ended this long after it began fails."""
    current: bool = False
    """New runs take this version."""
    upgrades: tuple[str, ...] = ()
    """Versions whose runs may go on with this one as they are."""

    def step(self, name: str) -> StepDefinition | None:
        """Return the step of this name, if there is one."""
        return self.steps.get(name)

    def new_context(self, kwargs: Mapping[str, Any]) -> BaseModel:
        """Make the Context of a run started by hand. Raises whatever the author's code raises."""
        create = getattr(self.cls, "create_context", None)
        return self._checked(self.context(**kwargs) if create is None else create(**kwargs))

    def context_for_event(self, event: Any) -> BaseModel:
        """Make the Context of a run started by an event."""
        create = getattr(self.cls, "create_context", None)
        if create is not None:
            return self._checked(create(event=event))
        known = {name: _event_value(event, name) for name in _EVENT_FIELDS if name in self.context.model_fields}
        return self.context(**known)

    def wants(self, event: Any) -> bool:
        """Ask the author's `should_run_for_event`, if there is one."""
        ask = getattr(self.cls, "should_run_for_event", None)
        return True if ask is None else bool(ask(event))

    def upgrade(self, version: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return Context data of another version in this version's shape; None if it cannot be taken over."""
        hook = getattr(self.cls, "upgrade_context", None)
        if hook is not None:
            upgraded: Mapping[str, Any] = hook(version, dict(data))
            return upgraded.model_dump(mode="json") if isinstance(upgraded, BaseModel) else upgraded
        return data if version in self.upgrades else None

    def with_trigger(self, trigger: Trigger) -> "WorkflowDefinition":
        """Return the same workflow, started by events."""
        return dataclasses.replace(self, trigger=trigger)

    def _checked(self, made: Any) -> BaseModel:
        if isinstance(made, self.context):
            return made
        raise ProgrammingError(
            f"create_context of workflow {self.name!r} returned {type(made).__name__}. Return cls.Context(...)."
        )


def _event_value(event: Any, name: str) -> Any:
    """Return what the default Context of an event workflow takes from its event."""
    if name == "event_id":
        return getattr(event, "event_id", None) or getattr(event, "id", None)
    if name == "entity_type":
        return getattr(event, "entity_type", None) or getattr(event, "model_type", None)
    return getattr(event, name, None)
