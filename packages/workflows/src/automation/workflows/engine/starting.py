"""Starting runs: by hand, and idempotently by key."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from automation.workflows.authoring.payloads import check_text
from automation.workflows.engine.faults import fault
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.making import new_run
from automation.workflows.engine.runtime import Runtime
from automation.workflows.engine.scope import running_scope
from automation.workflows.errors import UsageError
from automation.workflows.runs.values import Run, WorkflowStatus

__all__ = ["Starter"]

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
        run = new_run(self._runtime, definition, kwargs, run_key=_checked_key(run_key))
        scope = running_scope()
        if scope is not None:
            scope.buffer.start(run, self._runtime.policy.starts_per_step)
            return run
        with self._runtime.storage.transaction():
            stored = self.insert([run])[0]
            fault("start.before_commit")
        return stored

    def insert(self, runs: list[Run], position: int | None = None) -> list[Run]:
        """Store new runs and hint at those that are ready; give each as stored, the first one of its key.

        `position`: of the mailbox, where it was read in this transaction already.
        """
        if not runs:
            return []
        if position is None:
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
