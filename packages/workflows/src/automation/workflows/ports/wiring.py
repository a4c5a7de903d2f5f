"""The one place where adapters plug into the engine, so that neither side has to import the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from enum import Enum
from uuid import UUID

from automation.workflows.ports.clock import Clock, SystemClock
from automation.workflows.ports.executor import Executor, Worker
from automation.workflows.ports.occurrences import Occurrences
from automation.workflows.ports.policy import Policy
from automation.workflows.ports.storage import Storage
from automation.workflows.ports.upkeep import Upkeep

__all__ = ["Wiring", "wiring"]


class _Unchanged(Enum):
    """Stands for an argument that was not given, where None means that nothing is plugged in."""

    UNCHANGED = "unchanged"


UNCHANGED = _Unchanged.UNCHANGED


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
        self.step_timeouts: Callable[[], Mapping[str, timedelta]] = dict
        """Asked by executors that end what takes too long: the timeouts that steps name, by `workflow.step`."""
        self.around_step: Callable[[], AbstractContextManager[object]] = nullcontext
        """Entered around the code of a step; raises BrokenTransaction at its end where that left a transaction open."""
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
        executor: Executor | _Unchanged | None = UNCHANGED,
        clock: Clock | None = None,
        occurrences: Occurrences | _Unchanged | None = UNCHANGED,
    ) -> Iterator[None]:
        """Use other adapters inside the block (for tests), and put the old ones back.

        `executor=None` is none at all: runs are worked on in this process. Likewise `occurrences=None`.
        """
        before = self.storage, self.executor, self.clock, self.occurrences
        self.storage = storage or self.storage
        self.clock = clock or self.clock
        if not isinstance(executor, _Unchanged):
            self.executor = executor
        if not isinstance(occurrences, _Unchanged):
            self.occurrences = occurrences
        try:
            yield
        finally:
            self.storage, self.executor, self.clock, self.occurrences = before


wiring = Wiring()
