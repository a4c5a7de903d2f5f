"""Making runs: by hand, idempotently by key, as children of a step."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from automation.workflows.authoring.contexts import dump
from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject, check_text
from automation.workflows.authoring.results import Children
from automation.workflows.engine.faults import fault
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.keys import arguments_digest, keyed_run_id
from automation.workflows.engine.runtime import Runtime
from automation.workflows.engine.scope import running_scope
from automation.workflows.errors import UsageError
from automation.workflows.runs.values import Run, WorkflowStatus
from automation.workflows.runs.visits import GRACE, first_wake

__all__ = ["Starter", "ready_run"]

logger = logging.getLogger("automation.workflows")

_KEY_LENGTH = 255


class Starter:
    """Starts runs."""

    def __init__(self, runtime: Runtime, hints: Hints) -> None:
        self._runtime = runtime
        self._hints = hints

    def start(self, workflow: str | type, run_key: str | None, kwargs: Mapping[str, Any]) -> Run:
        """Start a run in the caller's transaction, or, inside a step, at its commit."""
        definition = self._runtime.registry.to_start(workflow)
        run = self.new_run(definition, kwargs, run_key=_checked_key(run_key))
        scope = running_scope()
        if scope is not None:
            scope.buffer.start(run, self._runtime.policy.starts_per_step)
            return run
        with self._runtime.storage.transaction():
            stored = self.insert([run])[0]
            fault("start.before_commit")
        return stored

    def new_run(
        self,
        definition: WorkflowDefinition,
        kwargs: Mapping[str, Any],
        *,
        run_key: str | None = None,
        parent: Run | None = None,
    ) -> Run:
        """Make a run in memory: its Context is made here, by the author's code, and raises here."""
        data = dump(definition.new_context(kwargs), self._runtime.policy.context)
        run_id = self._runtime.new_id() if run_key is None else keyed_run_id(definition.name, run_key)
        run = ready_run(definition, run_id, data, self._runtime.now())
        if parent is None:
            told = "" if run_key is None else arguments_digest(kwargs)
            return replace(run, run_key=run_key, arguments_digest=told)
        return replace(run, parent_id=parent.id, parent_visit=parent.visit, entity=parent.entity)

    def children(self, parent: Run, result: Children) -> tuple[Run, ...]:
        """Make the runs that a step asked for. Raises UsageError beyond what one step may start."""
        limit = self._runtime.policy.starts_per_step
        if len(result.children) > limit:
            raise UsageError(f"run_children asks for {len(result.children)} runs; a step may start {limit}.")
        to_start = self._runtime.registry.to_start
        return tuple(self.new_run(to_start(child.workflow), child.kwargs, parent=parent) for child in result.children)

    def insert(self, runs: list[Run]) -> list[Run]:
        """Store new runs and hint at those that are ready; give each as stored, the first one of its key."""
        if not runs:
            return []
        position = self._runtime.mailbox.position()
        ordered = sorted(range(len(runs)), key=lambda index: runs[index].id)
        placed = [replace(runs[at], start_position=position, visit_position=position) for at in ordered]
        stored = list(self._runtime.storage.insert(placed))
        pairs = list(zip(placed, stored, strict=True))
        for given, kept in pairs:
            if kept != given:
                _log_difference(given, kept)
        found = dict(zip(ordered, pairs, strict=True))
        as_given = [found[index] for index in range(len(runs))]
        self.hint_at([given for given, kept in as_given if kept == given])
        return [kept for _, kept in as_given]

    def hint_at(self, runs: list[Run]) -> None:
        """Have new runs worked on when they are due."""
        now = self._runtime.now()
        due = [run.id for run in runs if run.status is WorkflowStatus.READY or _is_due(run, now)]
        self._hints.give(due)
        for run in runs:
            if run.id not in due and run.next_at is not None:
                self._hints.give([run.id], run.next_at)


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


def _is_due(run: Run, now: datetime) -> bool:
    return run.next_at is not None and run.next_at <= now


def _checked_key(run_key: str | None) -> str | None:
    if run_key is None:
        return None
    if not isinstance(run_key, str) or not 1 <= len(run_key) <= _KEY_LENGTH:
        raise UsageError(f"run_key={run_key!r:.300} must be text of 1 to {_KEY_LENGTH} characters.")
    check_text(run_key, "run_key")
    return run_key


def _log_difference(asked: Run, stored: Run) -> None:
    """A second start of a key gives the first run; its caller should know when it asked for something else."""
    if asked.arguments_digest and stored.arguments_digest and asked.arguments_digest != stored.arguments_digest:
        logger.warning(
            "Run %s of %r with key %r exists and was started with other arguments; it is given back as it is. "
            "Use another run_key where another run is meant.",
            stored.id,
            stored.name,
            stored.run_key,
            extra={"run_id": str(stored.id)},
        )
