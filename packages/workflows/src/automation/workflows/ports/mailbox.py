"""Where signals are kept, and how a wait and a signal that come together find each other.

The protocol. Sending only inserts a row, in the sender's transaction, and locks no run. Delivering happens later, in
short transactions of its own: first lock the signal's name and allot its position, and then, in the next ones, wake a
batch of waiters, and again until none is left. A step that is about to wait locks the same name, looks for a signal
with a position that it has not consumed, and only then commits its wait. Whoever gets the lock second sees what the
first one wrote, so neither can miss the other: a wait that came first is found by the delivery, and one that comes
second finds the signal.

Waking needs no lock but those of the runs. It may have to wait for one that a slow transaction holds, and as it holds
neither the name nor the positions by then, no other signal waits with it.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from automation.workflows.runs.values import Run, Signal, StandingWait

__all__ = ["Mailbox"]


class Mailbox(Protocol):
    """Keeps signals. All methods take part in the storage's current transaction.

    An adapter must guarantee:

    1. Signals of which one `post` ended before the other began are given by `undelivered` in that order.
    2. After `lock(name)`, everything that earlier holders of that lock committed is seen.
    3. `settle` allots positions that grow with the order of the commits in which they were allotted.
    4. Retention never removes a signal that is undelivered, nor an addressed one whose run lives.
    5. `post` stores nothing for a signal whose id is stored already: an occurrence may be announced twice.
    """

    def post(self, signals: Sequence[Signal]) -> None:
        """Store signals, undelivered, in the order given."""
        ...

    def position(self) -> int:
        """Return the highest position allotted so far; 0 when none was."""
        ...

    def lock(self, name: str) -> None:
        """Hold the signal name `name` until the transaction ends. Raises outside a transaction."""
        ...

    def matching(self, run_id: UUID, wait: StandingWait, *, limit: int | None = None) -> Sequence[Signal]:
        """Return the delivered signals, by position, that end this wait and that the run has not consumed.

        All of them, in few statements, or the first `limit`.
        """
        ...

    def undelivered(self, limit: int, *, name: str | None = None) -> Sequence[Signal]:
        """Return at most `limit` signals whose delivery is not finished, in the order of sending."""
        ...

    def waiters(self, signal: Signal, limit: int) -> Sequence[Run]:
        """Return at most `limit` WAITING runs whose wait this signal ends and that have not consumed it.

        They are locked until the transaction ends where the database can. Fewer than `limit`: there are no more.
        """
        ...

    def settle(self, signals: Sequence[Signal], *, finished: bool) -> Sequence[Signal]:
        """Allot positions to those that have none, in the order given, and mark delivery as finished or not.

        In few statements, however many they are. Returns them as stored.
        """
        ...
