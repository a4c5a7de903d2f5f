"""Code that comes and goes: a worker of an old deploy lacks a workflow, or one step of it."""

from collections.abc import Sequence
from dataclasses import replace

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.entities import EntityRef
from automation.workflows.authoring.registry import Registry
from tests.simulation.scheduler import Gap, Scheduler

__all__ = ["GAPS", "SimRegistry"]

GAPS: Sequence[Gap] = (
    ("collector", ""),
    ("collector", "run"),
    ("outside", ""),
    ("planned", ""),
    ("planned", "run"),
    ("dated", ""),
    ("dated", "run"),
    ("poison", ""),
    ("poison", "run"),
    ("gossip", ""),
)
"""What an old deploy may lack; `""` is the whole workflow."""


class SimRegistry(Registry):
    """The workflows as the one who asks has them: an old worker runs old code from its first line to its last.

    Whoever starts runs has all of them: a start by code that lacks the workflow is an error of its caller.
    """

    def __init__(self, whole: Registry, scheduler: Scheduler) -> None:
        super().__init__(whole._versions)
        self._whole = whole
        self._scheduler = scheduler

    def exact(self, name: str, version: str) -> WorkflowDefinition | None:
        return self._as_deployed(self._whole.exact(name, version))

    def newest(self, name: str) -> WorkflowDefinition | None:
        return self._as_deployed(self._whole.newest(name))

    def to_start(self, wanted: str | type) -> WorkflowDefinition:
        return self._whole.to_start(wanted)

    def triggered_by(self, event_name: str, entity: EntityRef) -> Sequence[WorkflowDefinition]:
        return self._whole.triggered_by(event_name, entity)

    def _as_deployed(self, definition: WorkflowDefinition | None) -> WorkflowDefinition | None:
        lacks = self._scheduler.lacks
        if definition is None or not lacks:
            return definition
        gone = {step for name, step in lacks if name == definition.name}
        if "" in gone:
            return None
        return replace(definition, steps={name: step for name, step in definition.steps.items() if name not in gone})
