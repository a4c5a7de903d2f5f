"""The workflow's own deadline: past it nothing else moves a run that nobody holds."""

from automation.workflows.engine.fitting import definition_of
from automation.workflows.engine.runtime import Runtime
from automation.workflows.runs import causes
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Run

__all__ = ["past_deadline"]


def past_deadline(runtime: Runtime, run: Run) -> Transition | None:
    """Return the move that a READY or WAITING run owes its deadline; None while there is time, or no deadline.

    Only code that knows the workflow knows whether it has an `@on_fail` step: any other leaves the run to it.
    """
    now = runtime.now()
    if run.deadline_at is None or run.deadline_at > now:
        return None
    definition = definition_of(runtime.registry, run)
    if definition is None:
        return decide(run, causes.Postponed(until=now + runtime.policy.rehint), None, now)
    return decide(run, causes.DeadlinePassed(position=runtime.mailbox.position()), definition, now)
