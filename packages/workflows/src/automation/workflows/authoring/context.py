"""What user code can ask while a step runs: its Context, what woke it, more time."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from pydantic import BaseModel

from automation.workflows.authoring.wakes import Wake
from automation.workflows.errors import NotInStep

__all__ = ["StepScope", "current_scope", "get_context", "get_wake", "heartbeat", "outside_step", "scope_variable"]


class StepScope(Protocol):
    """One attempt of one step while it runs."""

    @property
    def context(self) -> BaseModel:
        """The live Context; what is set on it is kept."""
        ...

    @property
    def wake(self) -> Wake:
        """What woke this visit."""
        ...

    def heartbeat(self) -> None:
        """Renew the claim."""
        ...


scope_variable: ContextVar[StepScope | None] = ContextVar("automation_workflows_step", default=None)
"""Set by the engine around user code; a context variable, so that async steps and their threads see it too."""


def current_scope() -> StepScope | None:
    """Return the attempt that is running here, or None."""
    return scope_variable.get()


def get_context() -> Any:
    """Return the live Context of the step that is running; changes to it are kept, also when the step raises."""
    return _scope("get_context()").context


def get_wake() -> Wake:
    """Return what woke the step that is running."""
    return _scope("get_wake()").wake


def heartbeat() -> None:
    """Renew the claim of a step that is not atomic and takes long. Raises ClaimLost when the run has moved on."""
    _scope("heartbeat()").heartbeat()


@contextmanager
def outside_step() -> Iterator[None]:
    """Run the block as if no step were running: what it asks of the engine is done, whatever becomes of the step.

    For code that a step only happens to set off, such as the callback of an event.
    """
    token = scope_variable.set(None)
    try:
        yield
    finally:
        scope_variable.reset(token)


def _scope(asked: str) -> StepScope:
    scope = scope_variable.get()
    if scope is None:
        raise NotInStep(f"{asked} was called outside of a step. Only code that a running @step calls has one.")
    return scope
