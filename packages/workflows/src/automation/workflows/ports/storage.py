"""Where runs are kept."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from automation.workflows.ports.mailbox import Mailbox
from automation.workflows.ports.plans import Plans
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Run, Unreadable

__all__ = ["Storage"]


class Storage(Protocol):
    """Keeps runs, attempts, signals and plans, so that what one transaction wrote is seen whole or not at all.

    An adapter must guarantee:

    1. `transaction` is atomic and may be nested; an inner one that raises undoes only itself.
    2. `apply` compares and sets: a transition whose `before.revision` is no longer stored changes nothing at all
       and raises `StaleRun`, and so does the whole call with it; the transaction around it stays usable.
    3. `insert` keeps (name, run_key) and (occurrence id, generation, name) unique: for a run that is already there it
       stores nothing and gives the stored one in its place.
    4. What `load` and `due` give was committed, or written in this very transaction.
    5. Lookups for due work touch live runs only: their cost does not grow with finished ones.
    6. Text and JSON come back equal, whatever they hold; names and keys compare bytewise.
    7. Where user code shares the transaction, its errors come as `BrokenTransaction`: from `apply` and `insert`, when
       one was swallowed and the transaction can only be rolled back; from the end of the outermost `transaction`, when
       the commit is refused for what was written. A failure of the storage itself is never told so.
    """

    @property
    def mailbox(self) -> Mailbox:
        """The signals, in the same transactions as the runs."""
        ...

    @property
    def plans(self) -> Plans:
        """The runs that are reserved for occurrences and have not begun."""
        ...

    def transaction(self) -> AbstractContextManager[object]:
        """Open a transaction, or a savepoint inside one."""
        ...

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call `action` once the outermost transaction has committed; at once when there is none; never on rollback.

        What `action` raises is logged and does not reach the caller.
        """
        ...

    def insert(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Store new runs, in bulk, and give each as stored: itself, or the one that was there first."""
        ...

    def load(self, run_id: UUID) -> Run | None:
        """Return the run as stored now, or None. Raises `UnreadableRun` where one is stored that cannot be read."""
        ...

    def apply(self, transitions: Sequence[Transition]) -> None:
        """Store what the transitions say: the run after, its attempt row if there is one, the consumed signal.

        Raises `StaleRun` if any `before.revision` is no longer stored, or the run already consumed that signal.
        """
        ...

    def due(self, now: datetime, limit: int) -> Sequence[Run | Unreadable]:
        """Return at most `limit` live runs with `next_at <= now`, oldest first.

        One that cannot be read hides no other: it is given as `Unreadable`, held with the reason in `why`, and looked
        at again in a minute.
        """
        ...

    def upcoming(self, after: datetime, until: datetime, limit: int) -> Sequence[tuple[UUID, datetime]]:
        """Return (id, next_at) of WAITING runs with `after < next_at <= until`, oldest first: those worth a timer."""
        ...
