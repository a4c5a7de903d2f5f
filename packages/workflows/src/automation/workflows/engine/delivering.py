"""Delivering signals: name by name, in the order of sending, a batch of waiting runs per transaction."""

import logging
from collections.abc import Iterable
from functools import partial

from automation.workflows.engine.faults import fault
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.errors import StaleRun
from automation.workflows.runs.children import heard
from automation.workflows.runs.decide import decide
from automation.workflows.runs.values import Signal

__all__ = ["Postman"]

logger = logging.getLogger("automation.workflows")

_SIGNALS = 100
"""Signals of one name that one transaction looks at."""


class Postman:
    """Delivers what was sent."""

    def __init__(self, runtime: Runtime, mover: Mover) -> None:
        self._runtime = runtime
        self._mover = mover

    def announce(self, names: Iterable[str]) -> None:
        """Have the signals of these names delivered once the caller's transaction has committed."""
        self._runtime.storage.after_commit(partial(self._now_or_by_sweep, tuple(names)))

    def deliver(self, name: str, limit: int) -> int:
        """Wake at most `limit` runs by the signals of one name; return how many were woken."""
        woken = 0
        while woken < limit:
            size = min(self._runtime.policy.batch, limit - woken)
            count, is_more = self._batch_until_fresh(name, size)
            woken += count
            if not is_more:
                break
        return woken

    def _now_or_by_sweep(self, names: tuple[str, ...]) -> None:
        for name in names:
            try:
                self.deliver(name, self._runtime.policy.inline_delivery)
            except Exception:
                # The signal is stored and its sender is done: whatever the storage raises is the sweep's to repeat.
                logger.exception("Signal %r could not be delivered now; the sweep will.", name)

    def _batch_until_fresh(self, name: str, size: int) -> tuple[int, bool]:
        for _ in range(STALE_TRIES):
            try:
                with self._runtime.storage.transaction():
                    result = self._batch(name, size)
                    fault("deliver.before_commit")
            except StaleRun:
                continue
            fault("deliver.after_commit")
            return result
        # Somebody else was faster each time; what is left is found by the next delivery of this name.
        return 0, False

    def _batch(self, name: str, size: int) -> tuple[int, bool]:
        """Wake one batch; tell how many, and whether there is more of this name."""
        mailbox = self._runtime.mailbox
        mailbox.lock(name)
        signals = mailbox.undelivered(_SIGNALS, name=name)
        woken = 0
        for signal in signals:
            placed = mailbox.settle(signal, finished=False) if signal.position is None else signal
            count = self._wake(placed, size - woken)
            woken += count
            if woken >= size:
                return woken, True
            mailbox.settle(placed, finished=True)
        return woken, len(signals) == _SIGNALS

    def _wake(self, signal: Signal, size: int) -> int:
        now = self._runtime.now()
        waiting = self._runtime.mailbox.waiters(signal, size)
        self._mover.apply([decide(run, heard(signal), None, now) for run in waiting])
        return len(waiting)
