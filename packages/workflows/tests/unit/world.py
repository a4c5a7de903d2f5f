"""A small world for the engine: a storage in memory, a clock that is moved by hand, no queue."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from automation.workflows.engine.engine import Engine
from automation.workflows.memory import MemoryStorage
from automation.workflows.ports import Policy, Wiring
from automation.workflows.runs.values import Attempt, AttemptOutcome, Run, WorkflowStatus

START = datetime(2030, 1, 7, 9, tzinfo=UTC)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class Queue:
    """An executor that keeps what it is given."""

    def __init__(self, horizon: timedelta = timedelta(hours=1)) -> None:
        self.horizon = horizon
        self.given: list[tuple[UUID, datetime | None]] = []

    def enqueue(self, run_ids: Sequence[UUID], *, run_after: datetime | None = None) -> None:
        self.given += [(run_id, run_after) for run_id in run_ids]


class World:
    """The engine on adapters of its own."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.clock = HandClock()
        self.storage = storage or MemoryStorage()
        self.wiring = Wiring()
        self.wiring.storage = self.storage
        self.wiring.clock = self.clock
        self.engine = Engine(self.wiring)

    def set_policy(self, policy: Policy) -> None:
        self.wiring.policy = lambda: policy

    def with_queue(self, horizon: timedelta = timedelta(hours=1)) -> Queue:
        queue = Queue(horizon)
        self.wiring.executor = queue
        return queue

    def advance(self, **duration: float) -> None:
        """Move the clock, and sweep until nothing is due any more."""
        self.clock.at += timedelta(**duration)
        self.sweep()

    def sweep(self) -> None:
        for _ in range(100):
            done = self.engine.process_scheduled()
            if not (done["woken"] or done["rescued"] or done["delivered"] or done["failed"] or done["resumed"]):
                return
        raise AssertionError("the sweep never comes to an end")

    def stored(self, run: Run) -> Run:
        found = self.storage.load(run.id)
        assert found is not None
        return found

    def status(self, run: Run) -> WorkflowStatus:
        return self.stored(run).status

    def data(self, run: Run) -> dict[str, object]:
        return dict(self.stored(run).data or {})

    def history(self, run: Run) -> list[tuple[str, AttemptOutcome]]:
        return [(attempt.step, attempt.outcome) for attempt in self.attempts(run)]

    def attempts(self, run: Run) -> Sequence[Attempt]:
        return self.storage.attempts(run.id)
