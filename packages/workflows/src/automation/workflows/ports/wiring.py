"""The one place where adapters plug into the engine, so that neither side has to import the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from automation.workflows.ports.clock import Clock, SystemClock
from automation.workflows.ports.executor import Executor, Worker
from automation.workflows.ports.occurrences import Occurrences
from automation.workflows.ports.policy import Policy
from automation.workflows.ports.storage import Storage
from automation.workflows.ports.upkeep import Upkeep

__all__ = ["Wiring", "wiring"]


class Wiring:
    """What is plugged in. `ready()` of each app sets its own part; `engine.bind` and tests set the same things."""

    def __init__(self) -> None:
        self.storage: Storage | None = None
        self.executor: Executor | None = None
        """None: runs are worked on in the process and thread that starts or wakes them, after the commit."""
        self.clock: Clock = SystemClock()
        self.occurrences: Occurrences | None = None
        self.policy: Callable[[], Policy] = Policy
        """Asked whenever a number is needed, so that settings may change."""
        self.new_id: Callable[[], UUID] | None = None
        """Makes keys of runs and signals; None: time-ordered UUIDs."""
        self.upkeep: Upkeep | None = None
        """Set by the Django shell: what a daily task and `automation_erase` call."""
        self.worker: Worker | None = None
        """Set by the engine itself: what executors call."""

    @contextmanager
    def override(
        self,
        *,
        storage: Storage | None = None,
        executor: Executor | None = None,
        clock: Clock | None = None,
        occurrences: Occurrences | None = None,
    ) -> Iterator[None]:
        """Use other adapters inside the block (for tests), and put the old ones back."""
        before = self.storage, self.executor, self.clock, self.occurrences
        self.storage = storage or self.storage
        self.executor = executor or self.executor
        self.clock = clock or self.clock
        self.occurrences = occurrences or self.occurrences
        try:
            yield
        finally:
            self.storage, self.executor, self.clock, self.occurrences = before


wiring = Wiring()
