"""What is sent to a worker: the path of a task, and ids."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Message"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A task to be called with ids, soon or at a time."""

    task: str
    """The dotted path of a function in `automation.q2_executor.tasks`."""
    args: tuple[str, ...] = ()
    at: datetime | None = None
    """Not before this time, aware UTC; None: as soon as possible."""
