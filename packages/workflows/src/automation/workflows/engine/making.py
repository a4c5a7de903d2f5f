"""Making runs in memory: their Context is made by the author's code, and raises here, before anything is stored."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from automation.workflows.authoring.contexts import dump
from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.results import Children
from automation.workflows.engine.keys import arguments_digest, keyed_run_id
from automation.workflows.engine.runtime import Runtime
from automation.workflows.errors import UsageError
from automation.workflows.runs.values import Run, WorkflowStatus
from automation.workflows.runs.visits import GRACE, first_wake

__all__ = ["new_children", "new_run", "ready_run"]


def new_run(
    runtime: Runtime,
    definition: WorkflowDefinition,
    kwargs: Mapping[str, Any],
    *,
    run_key: str | None = None,
    parent: Run | None = None,
) -> Run:
    """Make a run with its Context. Raises whatever the author's code raises."""
    data = dump(definition.new_context(kwargs), runtime.policy.context)
    run_id = runtime.new_id() if run_key is None else keyed_run_id(definition.name, run_key)
    run = ready_run(definition, run_id, data, runtime.now())
    if parent is None:
        told = "" if run_key is None else arguments_digest(kwargs)
        return replace(run, run_key=run_key, arguments_digest=told)
    return replace(run, parent_id=parent.id, parent_visit=parent.visit, entity=parent.entity)


def new_children(runtime: Runtime, parent: Run, result: Children) -> tuple[Run, ...]:
    """Make the runs that a step asked for. Raises UsageError beyond what one step may start."""
    limit = runtime.policy.starts_per_step
    if len(result.children) > limit:
        raise UsageError(f"run_children asks for {len(result.children)} runs; a step may start {limit}.")
    to_start = runtime.registry.to_start
    return tuple(new_run(runtime, to_start(child.workflow), child.kwargs, parent=parent) for child in result.children)


def ready_run(definition: WorkflowDefinition, run_id: UUID, data: JsonObject | None, now: datetime) -> Run:
    """Return a new run at its start step. The deadline of a reserved start counts from when it begins."""
    deadline_at = None if definition.deadline is None or data is None else now + definition.deadline
    return Run(
        id=run_id,
        name=definition.name,
        version=definition.version,
        status=WorkflowStatus.READY,
        current_step=definition.start_step,
        data=data,
        next_at=now + GRACE if deadline_at is None else min(now + GRACE, deadline_at),
        visit=1,
        wake=first_wake(run_id),
        why="ready for a worker",
        deadline_at=deadline_at,
        created_at=now,
        updated_at=now,
    )
