"""The way to have event work done elsewhere: a queue, or nothing at all."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable
from uuid import UUID

__all__ = ["Dispatcher", "Gathering"]


class Dispatcher(Protocol):
    """Hands event work to an executor. Every call is a hint: what is owed is stored, and polled for.

    An adapter must guarantee:

    1. It may be called inside a transaction of the alias `using`, and then no worker acts before that commits:
       either the message joins the transaction, or it is sent after the commit. A rollback leaves no more than a
       harmless hint.
    2. A failure to send never raises into the caller once the caller's transaction has committed; it is logged.
    3. A message carries ids, times and the alias only.
    4. A message may be lost, doubled, late or reordered; the events package is right under all of these.
    """

    @property
    def horizon(self) -> timedelta:
        """How far ahead `hint` is worth calling. `timedelta(0)`: this dispatcher knows no timers."""
        ...

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> None:
        """Have `Processor.deliver(delivery_ids, using=using)` called soon, in another process if there is one."""
        ...

    def hint(self, at: datetime, *, using: str) -> None:
        """Have `Processor.process_due_events()` called at about `at` (aware UTC), not before it."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """A dispatcher that can send the messages of one save together may say so; it is optional."""

    def together(self) -> AbstractContextManager[None]:
        """Hold back what is handed over inside the block, and send it at its end in as few statements as can be.

        The block is inside the transaction that the messages are about. When it raises, nothing is sent.
        """
        ...
