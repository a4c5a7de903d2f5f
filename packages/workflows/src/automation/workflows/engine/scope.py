"""One attempt of one step while it runs: what `get_context`, `get_wake`, `heartbeat` and buffered verbs reach."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import BaseModel

from automation.workflows.authoring.context import current_scope
from automation.workflows.authoring.definitions import StepDefinition
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.wakes import Wake, WakeKind
from automation.workflows.engine.buffer import Buffer
from automation.workflows.errors import UsageError
from automation.workflows.runs.values import Run
from automation.workflows.runs.visits import first_wake

__all__ = ["Scope", "running_scope", "visible_wake"]


@dataclass(slots=True, kw_only=True)
class Scope:
    """The attempt's surroundings."""

    run: Run
    """As this worker last stored it; a heartbeat moves it on."""
    step: StepDefinition
    context: BaseModel
    initial: JsonObject
    """The Context as the attempt found it."""
    wake: Wake
    buffer: Buffer
    started_at: datetime
    renew: Callable[[Run], Run]

    def heartbeat(self) -> None:
        """Renew the claim in a commit of its own. Raises ClaimLost when the run has moved on."""
        if self.step.atomic:
            raise UsageError(
                f"heartbeat() in the atomic step {self.step.name!r} could not be seen before its commit. "
                "Write @step(atomic=False), or give the step a longer timeout=."
            )
        self.run = self.renew(self.run)


def running_scope() -> Scope | None:
    """Return the attempt that is running here, if it is the engine's own."""
    scope = current_scope()
    return scope if isinstance(scope, Scope) else None


def visible_wake(run: Run) -> Wake:
    """Return the visit's wake as this attempt of it sees it, with a payload of its own."""
    wake = run.wake or first_wake(run.id)
    wake = replace(wake, payload=deepcopy(wake.payload))
    attempt = run.attempt + run.lost_claims + 1
    return wake if attempt == 1 else replace(wake, kind=WakeKind.RETRY, attempt=attempt)
