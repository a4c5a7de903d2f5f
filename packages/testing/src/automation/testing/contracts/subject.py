"""What every part of the storage contract stands on: the storage under test, and ways to reach a state in it."""

from collections.abc import Callable, Sequence, Sized
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from automation.testing.contracts.builders import NOW
from automation.testing.contracts.side_by_side import Beside
from automation.workflows.ports import Storage
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Attempt, Run, Signal

__all__ = ["StorageSubject"]


class StorageSubject:
    """The storage under test. A claim that needs a hook which the adapter does not give is skipped with the reason."""

    def make_storage(self) -> Storage:
        """Return an empty storage. Called once for each test."""
        raise NotImplementedError(f"{type(self).__name__} has no make_storage(). Give the storage to be tested.")

    def beside(self, action: Callable[[], Any]) -> Beside:
        """Run `action` in a thread of its own, as another worker of the same storage would."""
        return Beside(action)

    def attempts_of(self, storage: Storage, run_id: UUID) -> Sequence[Attempt] | None:
        """Return the attempts stored for a run, oldest first; None when this storage keeps no history to read."""
        return None

    def swallow_an_error(self, storage: Storage) -> bool:
        """Inside an open transaction, do as user code that catches a database error there.

        Return False, having done nothing, when no user code writes in this storage's transactions.
        """
        return False

    def clean_up(self, storage: Storage, now: datetime) -> bool:
        """Delete what has been kept long enough, as a clean-up at `now` would.

        Return False, having done nothing, when this storage keeps everything.
        """
        return False

    def statements(self, storage: Storage) -> AbstractContextManager[Sized] | None:
        """Return a block that gives as many things as statements are sent inside it; None when there are none."""
        return None

    def effort_of(self, storage: Storage, lookup: Callable[[], object]) -> int | None:
        """Call `lookup`, inside the transaction that is open, and return how much it looked at: rows read, or what
        grows with them, such as the instructions of an embedded database.

        Return None when that cannot be told.
        """
        return None

    @pytest.fixture
    def storage(self) -> Storage:
        """The storage under test."""
        return self.make_storage()

    def put(self, storage: Storage, run: Run) -> Run:
        """Store one run and return it as stored."""
        with storage.transaction():
            (stored,) = storage.insert([run])
        return stored

    def stored(self, storage: Storage, run_id: UUID) -> Run:
        """Return a run that must be there."""
        run = storage.load(run_id)
        assert run is not None, f"Run {run_id} is not stored."
        return run

    def recorded(self, storage: Storage, run_id: UUID) -> list[Attempt]:
        """Return the history of a run; skips the test where there is none to read."""
        attempts = self.attempts_of(storage, run_id)
        if attempts is None:
            pytest.skip("No history to read: attempts_of() gives None, so nothing is claimed of attempts.")
        return list(attempts)

    def apply(self, storage: Storage, *moves: Transition) -> None:
        """Apply moves in a transaction of their own."""
        with storage.transaction():
            storage.apply(moves)

    def post(self, storage: Storage, *signals: Signal) -> None:
        """Post signals in a transaction of their own."""
        with storage.transaction():
            storage.mailbox.post(signals)

    def delivered(self, storage: Storage, signal: Signal) -> Signal:
        """Post a signal, finish its delivery, and return it as stored."""
        self.post(storage, signal)
        return self.settled(storage, signal)

    def settled(self, storage: Storage, signal: Signal, *, finished: bool = True) -> Signal:
        """Settle a posted signal in a transaction of its own."""
        with storage.transaction():
            storage.mailbox.lock(signal.name)
            return storage.mailbox.settle([signal], finished=finished)[0]

    def due_ids(self, storage: Storage, seconds: int = 0, limit: int = 100) -> list[UUID]:
        """Return the ids of what is due so many seconds after NOW."""
        return [run.id for run in storage.due(NOW + timedelta(seconds=seconds), limit)]
