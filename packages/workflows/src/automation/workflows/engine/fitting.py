"""Which code goes on with a run: the version it was started with, or a newer one that takes it over."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from automation.workflows.authoring.contexts import load, problems, stored_data
from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.registry import Registry
from automation.workflows.runs.values import Pause, Run

__all__ = ["Absent", "Fit", "Found", "definition_of", "fit"]

logger = logging.getLogger("automation.workflows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """This code can go on with the run."""

    definition: WorkflowDefinition
    data: JsonObject | None
    """The Context in the shape of this code; None for a reserved start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """This code cannot."""

    pause: Pause
    reason: str


Fit: TypeAlias = Found | Absent


def definition_of(registry: Registry, run: Run) -> WorkflowDefinition | None:
    """Return the class that goes on with the run, without a look at its Context."""
    return registry.exact(run.name, run.version) or registry.newest(run.name)


def fit(registry: Registry, run: Run) -> Fit:
    """Find the code for a run and bring its Context into that code's shape."""
    definition = registry.exact(run.name, run.version)
    if definition is not None:
        return _same_version(definition, run)
    newest = registry.newest(run.name)
    if newest is None:
        return Absent(pause=Pause.MISSING, reason=_nowhere(registry, run))
    return _other_version(newest, run)


def _same_version(definition: WorkflowDefinition, run: Run) -> Fit:
    if definition.step(run.current_step) is None:
        return _no_step(definition, run)
    if run.data is None:
        return Found(definition=definition, data=None)
    try:
        load(definition.context, run.data)
    except Exception as error:  # noqa: BLE001 - validators are the author's code: whatever they raise holds this run only
        return _upgraded(definition, run) or _unfit(problems(error))
    return Found(definition=definition, data=run.data)


def _other_version(definition: WorkflowDefinition, run: Run) -> Fit:
    takes_over = run.version in definition.upgrades or hasattr(definition.cls, "upgrade_context")
    if not takes_over:
        return Absent(
            pause=Pause.MISSING,
            reason=f"version {run.version!r} of workflow {run.name!r} is not in this code, and version "
            f"{definition.version!r} does not take it over: declare upgrades=({run.version!r},) or upgrade_context",
        )
    if definition.step(run.current_step) is None:
        return _no_step(definition, run)
    if run.data is None:
        return Found(definition=definition, data=None)
    return _upgraded(definition, run) or _unfit(f"upgrade_context refused version {run.version!r}")


def _upgraded(definition: WorkflowDefinition, run: Run) -> Fit | None:
    """Ask the author's code for the new shape; None when it has nothing to say about this version."""
    assert run.data is not None
    try:
        data = definition.upgrade(run.version, _copy(run.data))
    except Exception as error:
        # It is the author's code: whatever it raises holds this run only.
        if run.pause is not Pause.CONTEXT:
            logger.warning(
                "upgrade_context of %r raised for run %s; it is paused.",
                run.name,
                run.id,
                exc_info=True,
                extra={"run_id": str(run.id)},
            )
        return _unfit(f"upgrade_context raised {type(error).__name__}")
    if data is None:
        return None
    try:
        context = load(definition.context, data)
        return Found(definition=definition, data=stored_data(context))
    except Exception as error:  # noqa: BLE001 - as above, for validators
        return _unfit(problems(error))


def _nowhere(registry: Registry, run: Run) -> str:
    undecided = registry.undecided(run.name)
    if not undecided:
        return f"workflow {run.name!r} is not in this code"
    return f"version {run.version!r} is not in this code. {undecided} Pass current=True to one of them"


def _no_step(definition: WorkflowDefinition, run: Run) -> Absent:
    return Absent(
        pause=Pause.MISSING,
        reason=f"step {run.current_step!r} is not in version {definition.version!r} of workflow {run.name!r}; "
        f"its steps are {', '.join(sorted(definition.steps))}",
    )


def _unfit(reason: str) -> Absent:
    return Absent(pause=Pause.CONTEXT, reason=f"the stored Context does not fit: {reason}")


def _copy(data: JsonObject) -> Mapping[str, Any]:
    copied: Mapping[str, Any] = json.loads(json.dumps(data))
    return copied
