"""The queue that brings runs to workers, and what a worker calls when a message arrives."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

__all__ = ["Executor", "Worker"]


class Executor(Protocol):
    """Hands runs to workers. Every call is a hint: the row is the truth, and `Worker.process_scheduled` sweeps it.

    An adapter must guarantee:

    1. It may be called inside the storage's transaction, and then no worker acts before that commits: either the
       message joins the transaction, or it is sent after the commit. A rollback leaves no more than a harmless hint.
    2. A failure to send never raises into the caller once the caller's transaction has committed; it is logged.
    3. A message carries ids only.
    4. `run_after` is never early: a message that would arrive before it is held back or dropped.
    5. A message may be lost, doubled, late or reordered; the engine is right under all of these.
    """

    @property
    def horizon(self) -> timedelta:
        """How far ahead `run_after` is worth giving. `timedelta(0)`: this executor knows no timers."""
        ...

    def enqueue(self, run_ids: Sequence[UUID], *, run_after: datetime | None = None) -> None:
        """Have `Worker.execute_step(id)` called for each id, soon or at about `run_after` (aware UTC)."""
        ...


class Worker(Protocol):
    """What an executor calls on the engine. Safe to call twice, late, and side by side."""

    def execute_step(self, run_id: UUID | str, step_name: str | None = None) -> Any:
        """Work on the run until its next pause, if it is there to be worked on; else change nothing."""
        ...

    def process_scheduled(self, limit: int = 1000, *, stop: Callable[[], bool] = lambda: False) -> Mapping[str, Any]:
        """Sweep: wake what is due, rescue what lost its worker, deliver what was sent; at most `limit` of each.

        `stop` is asked between two rows: true leaves the rest for the next sweep. `more` in what is returned says that
        there may be more to do at once.
        """
        ...
