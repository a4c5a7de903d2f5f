"""Everything that this package raises on purpose, in one tree.

Whose fault it is decides the branch: the author of a workflow (`DefinitionError`, `ProgrammingError`), the caller of
the engine (`UsageError`), or the circumstances (`StaleRun` and the other losses), which the engine meets by itself.
"""

from uuid import UUID

__all__ = [
    "AsyncCallNeeded",
    "BrokenTransaction",
    "ClaimLost",
    "ContextError",
    "DefinitionError",
    "EventsAway",
    "IllegalTransition",
    "NotConfigured",
    "NotInStep",
    "PayloadError",
    "ProgrammingError",
    "ResultError",
    "StaleRun",
    "StepTimedOut",
    "UnknownRun",
    "UnknownWorkflow",
    "UnreadableRun",
    "UsageError",
    "WorkflowError",
]


class WorkflowError(Exception):
    """The root of the tree: catches everything that this package raises on purpose."""


class DefinitionError(WorkflowError, ValueError):
    """A workflow class is not written as it must be. Raised when it is imported."""


class ProgrammingError(WorkflowError):
    """A step did what no retry can mend: it fails the run at once."""


class ContextError(ProgrammingError):
    """A value on the Context does not come back equal from the storage, or does not fit its field."""


class UsageError(WorkflowError, ValueError):
    """The engine was called with something it refuses; nothing was changed."""


class ResultError(ProgrammingError, UsageError):
    """`sleep`, `wait` and the like were asked for a result that there cannot be. In a step it fails the run at once."""


class PayloadError(UsageError):
    """A payload is not JSON that every database keeps; the message has the path to the offending value."""


class UnknownWorkflow(UsageError):
    """No workflow has this name; the message lists those that exist."""


class UnknownRun(UsageError, LookupError):
    """No run has this id."""


class UnreadableRun(UsageError):
    """The run is stored and this code cannot read it: it was spoilt, or written by a newer release."""


class AsyncCallNeeded(UsageError, RuntimeError):
    """A synchronous verb was called under a running event loop; the message names the one to await."""


class NotInStep(UsageError, RuntimeError):
    """Something that exists only while a step runs was asked for outside of one."""


class NotConfigured(WorkflowError, RuntimeError):
    """The engine lacks an adapter; the message says how to plug one in."""


class IllegalTransition(WorkflowError):
    """The table in `runs.transitions` does not let a run in this status move for this cause."""


class StaleRun(WorkflowError):
    """The run has moved on since it was read: a compare-and-set on its `revision` found another.

    Without a revision: so it was each time that a verb looked again.
    """

    def __init__(self, run_id: UUID, revision: int | None = None) -> None:
        if revision is None:
            super().__init__(f"Run {run_id} was moved by others each time that it was looked at. Try again.")
        else:
            super().__init__(f"Run {run_id} is no longer at revision {revision}: somebody else moved it first.")
        self.run_id = run_id
        self.revision = revision


class EventsAway(WorkflowError):
    """Nobody can tell for the moment what has become of an event: the database that has it does not answer."""


class ClaimLost(WorkflowError):
    """This worker's claim on the run is over: what it does further cannot be committed."""


class StepTimedOut(WorkflowError):
    """A step took longer than its `timeout`; what it did was not committed."""


class BrokenTransaction(WorkflowError):
    """The step's transaction can only be rolled back, because a database error was swallowed inside it."""
