"""The front door: everything that people who write and run workflows import."""

from automation.workflows.authoring.context import get_context, get_wake, heartbeat, outside_step
from automation.workflows.authoring.decorators import event_workflow, on_fail, step, workflow
from automation.workflows.authoring.entities import EntityRef
from automation.workflows.authoring.registry import registry
from automation.workflows.authoring.results import (
    ANY,
    EVENT_PREFIX,
    StepResult,
    complete,
    fail,
    goto,
    run_child,
    run_children,
    sleep,
    wait,
    wait_for_event,
)
from automation.workflows.authoring.retry import Retry
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.engine.default import engine
from automation.workflows.runs.values import Run, WorkflowStatus

__all__ = [
    "ANY",
    "EVENT_PREFIX",
    "EntityRef",
    "Retry",
    "Run",
    "StepResult",
    "Wake",
    "WakeKind",
    "WorkflowStatus",
    "complete",
    "engine",
    "event_workflow",
    "fail",
    "get_context",
    "get_wake",
    "goto",
    "heartbeat",
    "on_fail",
    "outside_step",
    "registry",
    "run_child",
    "run_children",
    "sleep",
    "step",
    "wait",
    "wait_for_event",
    "workflow",
]
