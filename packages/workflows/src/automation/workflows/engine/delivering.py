"""Delivering signals: name by name, in the order of sending, a batch of waiting runs per transaction."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from automation.workflows.engine.faults import fault
from automation.workflows.engine.fitting import definition_of
from automation.workflows.engine.hearing import heard
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.errors import StaleRun
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Run, Signal

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
        woken, is_more = 0, True
        while woken < limit and is_more:
            signals = self._placed(name)
            count, is_more = self._batch_until_fresh(signals, min(self._runtime.policy.batch, limit - woken))
            woken += count
        return woken

    def _now_or_by_sweep(self, names: tuple[str, ...]) -> None:
        for name in names:
            try:
                self.deliver(name, self._runtime.policy.inline_delivery)
            except Exception:
                # The signal is stored and its sender is done: whatever the storage raises is the sweep's to repeat.
                logger.exception("Signal %r could not be delivered now; the sweep will.", name)

    def _placed(self, name: str) -> Sequence[Signal]:
        """Give signals their positions, in a transaction that waits for no run; return them in that order.

        Once it has committed, a step that begins to wait finds these signals itself.
        """
        mailbox = self._runtime.mailbox
        with self._runtime.storage.transaction():
            mailbox.lock(name)
            signals = mailbox.undelivered(_SIGNALS, name=name)
            new = [signal for signal in signals if signal.position is None]
            placed = [signal for signal in signals if signal.position is not None]
            if new:
                placed += mailbox.settle(new, finished=False)
            fault("place.before_commit")
        fault("place.after_commit")
        return sorted(placed, key=_position)

    def _batch_until_fresh(self, signals: Sequence[Signal], size: int) -> tuple[int, bool]:
        """Wake one batch; tell how many, and whether there may be more of this name."""
        if not signals:
            return 0, False
        for _ in range(STALE_TRIES):
            try:
                with self._runtime.storage.transaction():
                    woken = self._batch(signals, size)
                    fault("deliver.before_commit")
            except StaleRun:
                continue
            fault("deliver.after_commit")
            return woken, woken >= size or len(signals) == _SIGNALS
        # Somebody else was faster each time; what is left is found by the next delivery of this name.
        return 0, False

    def _batch(self, signals: Sequence[Signal], size: int) -> int:
        """Wake as many as there are, up to `size`. Another delivery of the same signals may be at it as well.

        It may wait for whoever holds one of the runs, and holds neither the name nor the positions meanwhile.
        """
        woken, finished = 0, []
        for signal in signals:
            woken += self._wake(signal, size - woken)
            is_full = woken >= size
            # For one run alone there is no other; and a parent, which takes no receipt, would hear an end once more.
            if not is_full or signal.run_id is not None:
                finished.append(signal)
            if is_full:
                break
        if finished:
            self._runtime.mailbox.settle(finished, finished=True)
        return woken

    def _wake(self, signal: Signal, size: int) -> int:
        now = self._runtime.now()
        waiting = self._runtime.mailbox.waiters(signal, size)
        self._mover.apply([self._heard(run, signal, now) for run in waiting])
        return len(waiting)

    def _heard(self, run: Run, signal: Signal, now: datetime) -> Transition:
        cause = heard(self._runtime, run, signal)
        return decide(run, cause, definition_of(self._runtime.registry, run), now)


def _position(signal: Signal) -> int:
    return signal.position or 0
