"""Who goes on, and what happens to him: the only place where chance decides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any, TypeAlias

from greenlet import getcurrent, greenlet

from tests.simulation.faults import CommitUnknown, Crash, DatabaseDown, Faults

__all__ = ["Gap", "Scheduler", "SimClock", "Task"]

Gap: TypeAlias = tuple[str, str]
"""Code that is missing: a workflow and its step, or `""` for all of it."""

START = datetime(2030, 1, 7, 9, tzinfo=UTC)
_YIELDS = 0.35
"""Share of the points at which somebody else may go on."""


@dataclass(eq=False, slots=True)
class Task:
    """Somebody who acts: a worker with one message, a sender, a sweep."""

    name: str
    act: Callable[[], object]
    skew: timedelta
    blocked: bool = False
    done: bool = False
    outcome: BaseException | None = None
    glet: Any = None
    on_end: Callable[["Task"], None] | None = None
    lacks: frozenset[Gap] = frozenset()
    """What is missing from the code that it runs."""


class SimClock:
    """The time as the one who asks sees it: his own clock may be off."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self.at = START
        self._scheduler = scheduler

    def now(self) -> datetime:
        current = self._scheduler.current
        return self.at if current is None else self.at + current.skew


@dataclass(eq=False)
class Scheduler:
    """Steps tasks from point to point."""

    seed: int
    faults: Faults
    random: Random = field(init=False)
    tasks: list[Task] = field(default_factory=list)
    current: Task | None = None
    points: int = 0
    verdict: AssertionError | None = None
    """What was found broken. It ends the simulation even where the engine takes it for a failure of the storage."""
    coverage: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = SimClock(self)
        self._trace = blake2b(digest_size=16)

    @property
    def trace(self) -> str:
        """A digest of every choice so far."""
        return self._trace.hexdigest()

    @property
    def lacks(self) -> frozenset[Gap]:
        """What is missing from the code of whoever acts now."""
        return frozenset() if self.current is None else self.current.lacks

    def note(self, text: str) -> None:
        """Put a choice into the trace."""
        self._trace.update(text.encode())

    def count(self, what: str) -> None:
        """Count that something happened."""
        self.coverage[what] = self.coverage.get(what, 0) + 1

    def spawn(
        self,
        name: str,
        act: Callable[[], object],
        on_end: Callable[[Task], None] | None = None,
        lacks: frozenset[Gap] = frozenset(),
    ) -> None:
        """Add somebody who acts from now on."""
        seconds = self.random.uniform(-self.faults.skew, self.faults.skew) if self.faults.skew else 0.0
        task = Task(name=name, act=act, skew=timedelta(seconds=seconds), on_end=on_end, lacks=lacks)
        task.glet = greenlet(lambda: self._run(task))
        self.tasks.append(task)
        self.note(f"+{name}")

    def step(self) -> bool:
        """Let one task go on to its next point; False when nobody can."""
        able = [task for task in self.tasks if not task.blocked]
        if not able:
            return False
        task = self.random.choice(able)
        self.current = task
        try:
            task.glet.switch()
        finally:
            self.current = None
        self.note(f">{task.name}")
        if self.verdict is not None:
            raise self.verdict
        if task.done:
            self.tasks.remove(task)
            if task.outcome is not None and not isinstance(task.outcome, Crash | DatabaseDown | CommitUnknown):
                raise task.outcome
            if task.on_end is not None:
                task.on_end(task)
        return True

    def point(self, kind: str) -> None:
        """Let chance decide what happens here: nothing, somebody else, a crash, an error."""
        task = self.current
        if task is None:
            return
        self.points += 1
        if self.random.random() < _YIELDS:
            self._give_way(task)
        if self._happens(self.faults.crash, f"crash at {kind}"):
            raise Crash(kind)
        if kind != "committed" and self._happens(self.faults.database, f"error at {kind}"):
            raise DatabaseDown(kind)
        if kind == "committed" and self._happens(self.faults.unknown, "answer of a commit lost"):
            raise CommitUnknown(kind)

    def block(self) -> None:
        """Wait until some row is let go."""
        task = self.current
        assert task is not None, "the scheduler itself would wait for ever"
        task.blocked = True
        self._give_way(task)

    def unblock_all(self) -> None:
        """Some rows were let go: everybody who waits looks again."""
        for task in self.tasks:
            task.blocked = False

    def _give_way(self, task: Task) -> None:
        task.glet.parent.switch()
        assert self.current is task
        assert getcurrent() is task.glet

    def _happens(self, rate: float, what: str) -> bool:
        if not rate or self.random.random() >= rate:
            return False
        self.count(what)
        self.note(f"!{what}")
        return True

    def _run(self, task: Task) -> None:
        try:
            task.act()
        except BaseException as error:
            task.outcome = error
        task.done = True
