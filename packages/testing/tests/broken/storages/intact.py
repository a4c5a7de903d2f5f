"""A storage in memory that keeps its contract, and ways to note one that does not."""

from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, current_thread, main_thread
from typing import Any

from automation.testing.contracts import StorageContract
from automation.workflows.memory import MemoryStorage
from tests.broken.telling import Broken, breaks

__all__ = ["BROKEN", "Intact", "beside", "mailbox", "met", "plans", "storage"]


BROKEN: Broken = {}


class Intact(StorageContract):
    """MemoryStorage as it is; what is broken says in `storage_class` or in a hook how."""

    storage_class: Callable[[], MemoryStorage] = MemoryStorage

    def make_storage(self):
        return type(self).storage_class()

    def attempts_of(self, storage, run_id):
        return storage.attempts(run_id)


def storage(*claims: str):
    """Note a storage that fails these claims."""

    def note(broken):
        breaks(BROKEN, *claims)(type(broken.__name__, (Intact,), {"storage_class": broken}))
        return broken

    return note


def mailbox(*claims: str):
    """Note a mailbox that fails these claims, in a storage that is intact."""
    return _part(claims, "_mailbox", lambda made: (made._join, lambda: made._transactions.current))


def plans(*claims: str):
    """Note plans that fail these claims, in a storage that is intact."""
    return _part(claims, "_plans", lambda made: (made._join, made.insert))


def _part(claims: tuple[str, ...], name: str, needs: Callable[[MemoryStorage], tuple[Any, ...]]):
    def note(broken):
        def make():
            made = MemoryStorage()
            setattr(made, name, broken(*needs(made)))
            return made

        breaks(BROKEN, *claims)(type(broken.__name__, (Intact,), {"storage_class": staticmethod(make)}))
        return broken

    return note


def beside() -> bool:
    """Return whether this is one of the threads of a test."""
    return current_thread() is not main_thread()


def met(barrier: Barrier) -> None:
    """Wait for the others, if there are any."""
    with suppress(Exception):
        barrier.wait(5)
