"""Doing what is due: what happens at each moment at which a clock stops."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from automation.testing.commits import is_inside_a_block, run_commit_hooks
from automation.testing.executor import FakeExecutor
from automation.testing.faults import WorkerDied
from automation.testing.installed import events_wiring, is_inside_a_step, refuse_under_loop, workflows_wiring
from automation.testing.loops import NeverIdleError
from automation.testing.owed import Look, Owed
from automation.testing.swaps import swapped

__all__ = ["LIMIT", "Rounds", "own_rounds"]

LIMIT = 10_000
"""Messages, and sweeps, in one moment; more is most likely something that starts itself for ever."""


class Rounds:
    """Works off the queue and sweeps, as workers and schedules do, until nothing more is due now.

    An Itinerary: a clock that has it attached stops at each due moment, and all of it happens there.
    """

    def __init__(self, executor: FakeExecutor, on_death: Callable[[], None] = lambda: None) -> None:
        self.executor = executor
        self.owed = Owed()
        self.is_busy = False
        """Work is being done or held back: a call from within does nothing, the outer call finishes the work."""
        self.is_sweeping = False
        """What runs now is a sweep, or what follows a commit: work that is done for no message."""
        self._on_death = on_death

    def arrive(self) -> datetime | None:
        """Do everything that is due now; return the earliest later moment at which something is, or None."""
        return self._next_due(self.go())

    def next_due(self) -> datetime | None:
        """Return the earliest later moment at which something is due: a message, a run, an event or a delivery."""
        return self._next_due(self.owed.look())

    def go(self, limit: int = LIMIT) -> Look:
        """Do what is due until nothing more is; return the last look at what is stored. Raises NeverIdleError."""
        if self.is_busy:
            return Look()
        if self.owed.sees_events or self.owed.sees_runs:
            refuse_under_loop()
        with swapped(self, "is_busy", True):
            for _ in range(limit):
                self.commit()
                self.executor.run_until_idle(limit)
                look = self.owed.look()
                if not look.due:
                    return look
                swept = self._sweep()
                if swept.due == look.due and not self.executor.due:
                    return swept
        raise NeverIdleError(f"After {limit} sweeps there is still work due now. Queued:\n{self.executor}")

    def commit(self) -> int:
        """Run what waits for a commit that never comes; return how many hooks ran."""
        with swapped(self, "is_sweeping", True):
            return run_commit_hooks(self._on_death)

    def _next_due(self, look: Look) -> datetime | None:
        moments = (self.executor.next_due(datetime.now(UTC)), look.next_at)
        return min((moment for moment in moments if moment is not None), default=None)

    def _sweep(self) -> Look:
        """Look for what is due and has no message, as the schedules do; return what is due then."""
        for look in self._looks():
            try:
                with swapped(self, "is_sweeping", True):
                    look()
            except WorkerDied:
                self._on_death()
            self.commit()
        return self.owed.look()

    def _looks(self) -> Iterator[Callable[[], object]]:
        if (workflows := workflows_wiring()) is not None and workflows.worker is not None:
            yield workflows.worker.process_scheduled
        if (events := events_wiring()) is not None and events.processor is not None and self.owed.sees_events:
            yield events.processor.process_due_events


@contextmanager
def own_rounds() -> Iterator[Rounds | None]:
    """Yield the rounds of a clock that moves alone, with the project's own wiring; None where nothing could be due.

    A FakeExecutor that is plugged in is worked off. A real queue has no worker in a test: inside the block a
    FakeExecutor has its place, so that what is due is done here. Inside `transaction.atomic()` of the test nothing is
    committed yet, and a step that moves the clock only takes its time: there, nothing is done.
    """
    rounds = Rounds(_plugged_in() or FakeExecutor())
    if is_inside_a_block() or is_inside_a_step() or not (rounds.owed.sees_events or rounds.owed.sees_runs):
        yield None
        return
    with ExitStack() as stack:
        for wiring, name in ((workflows_wiring(), "executor"), (events_wiring(), "dispatcher")):
            if wiring is not None and getattr(wiring, name) is not None:
                stack.enter_context(swapped(wiring, name, rounds.executor))
        rounds.executor.enqueue(rounds.owed.ready())
        yield rounds


def _plugged_in() -> FakeExecutor | None:
    plugged_in = (getattr(workflows_wiring(), "executor", None), getattr(events_wiring(), "dispatcher", None))
    return next((each for each in plugged_in if isinstance(each, FakeExecutor)), None)
