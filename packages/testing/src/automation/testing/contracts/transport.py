"""How the transport behind an executor or a dispatcher is handled in a test: its database, workers and failures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from automation.testing.contracts.side_by_side import Beside

__all__ = ["Transport", "leaves"]


class Transport:
    """The hooks that the contracts of Executor and Dispatcher share; both may be tested on one subclass of it.

    `queue` is what is under test: the executor or the dispatcher.
    """

    def transaction(self) -> AbstractContextManager[Any]:
        """Open a transaction as the storage would."""
        raise NotImplementedError(f"{type(self).__name__} has no transaction(). Give the storage's transaction.")

    def work_off(self, queue: Any) -> None:
        """Be a worker: take every message that may be taken now, and do what it says. Return when idle."""
        raise NotImplementedError(f"{type(self).__name__} has no work_off(). Run a worker until the queue is idle.")

    def work_off_meanwhile(self, queue: Any) -> None:
        """Be a worker elsewhere while a transaction is open here: in another thread, unless overridden."""
        self.beside(lambda: self.work_off(queue)).result()

    def pass_time(self, queue: Any, by: timedelta) -> None:
        """Move the clock that the timers go by."""
        raise NotImplementedError(f"{type(self).__name__} has no pass_time(). Move the clock of the timers.")

    def broken_transport(self, queue: Any) -> AbstractContextManager[Any]:
        """Make sending fail inside the block, as a queue that is down would."""
        raise NotImplementedError(f"{type(self).__name__} has no broken_transport(). Make sending fail.")

    def messages(self, queue: Any) -> Sequence[Any]:
        """Return what is queued as the transport holds it, decoded: the arguments of each message."""
        raise NotImplementedError(f"{type(self).__name__} has no messages(). Give the arguments of what is queued.")

    def now(self) -> datetime:
        """Return the time by the clock of the timers."""
        return datetime.now(UTC)

    def beside(self, action: Callable[[], Any]) -> Beside:
        """Run `action` in a thread of its own; override it to close what a thread leaves open."""
        return Beside(action)


def leaves(message: Any) -> Iterator[Any]:
    """Yield every single value in a message."""
    if isinstance(message, Mapping):
        yield from (leaf for value in message.values() for leaf in leaves(value))
    elif isinstance(message, list | tuple):
        yield from (leaf for value in message for leaf in leaves(value))
    else:
        yield message
