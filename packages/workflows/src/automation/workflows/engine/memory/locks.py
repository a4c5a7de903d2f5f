"""Row locks: held until the transaction ends; a circle of waiting ones is broken by an error."""

from collections.abc import Hashable
from threading import Condition, RLock, get_ident
from typing import Any, Protocol

from automation.workflows.errors import WorkflowError

__all__ = ["Deadlock", "Locks", "Owner"]


class Deadlock(WorkflowError):
    """Two transactions wait for each other; this one gives way."""


class Owner(Protocol):
    """Whoever holds rows: a transaction."""

    thread: int
    """The thread that opened it."""


class Locks:
    """Who holds which row. `guard` protects the tables; it is never held while waiting for a row."""

    def __init__(self) -> None:
        self.guard: Any = RLock()
        self._freed = Condition(self.guard)
        self._owners: dict[Hashable, Owner] = {}
        self._wanted: dict[Owner, Hashable] = {}

    def acquire(self, owner: Owner, key: Hashable) -> None:
        """Hold `key` for `owner`; wait for whoever holds it. Raises Deadlock where that would wait for itself."""
        with self.guard:
            while (holder := self._owners.get(key, owner)) is not owner:
                self._wanted[owner] = key
                try:
                    self._check_circle(owner)
                    self.wait(holder)
                finally:
                    del self._wanted[owner]
            self._owners[key] = owner

    def release(self, owner: Owner) -> None:
        """Let go of everything that `owner` holds."""
        with self.guard:
            for key in [key for key, holder in self._owners.items() if holder is owner]:
                del self._owners[key]
            self._freed.notify_all()

    def wait(self, holder: Owner) -> None:
        """Wait until some row is let go. A simulator runs somebody else here."""
        if holder.thread == get_ident():
            raise Deadlock("A row is held by an outer transaction of this very thread, which would wait for ever.")
        self._freed.wait()

    def _check_circle(self, owner: Owner) -> None:
        holder: Owner | None = self._owners.get(self._wanted[owner])
        while holder is not None and holder is not owner:
            wanted = self._wanted.get(holder)
            holder = None if wanted is None else self._owners.get(wanted)
        if holder is owner:
            raise Deadlock(f"Two transactions wait for each other over {self._wanted[owner]!r}; this one gives way.")
