"""Events of the simulated world: armed, moved, ended and occurring, each in one transaction with the runs it plans."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from automation.workflows.core import EntityRef, WorkflowStatus
from automation.workflows.ports import EventsAway, Occurrence, Snapshot
from tests.simulation.faults import DatabaseDown
from tests.simulation.invariants import require
from tests.simulation.scheduler import Scheduler
from tests.simulation.storage import SimStorage

__all__ = ["EVENT", "OFFSET", "SimEvent", "SimEvents"]

EVENT = "due"
OFFSET = timedelta(seconds=-60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimEvent:
    """An event's row."""

    occurrence: Occurrence
    occurred: bool = False
    ended: bool = False
    valid: bool = True
    """Its condition holds."""


class SimEvents:
    """The table of events, and the Occurrences port over it."""

    def __init__(self, scheduler: Scheduler, storage: SimStorage, engine: Any) -> None:
        self._scheduler = scheduler
        self._storage = storage
        self._engine = engine
        self.violations: list[str] = []

    def describe(self, event: Any) -> Occurrence:
        return self._storage.event(event).occurrence

    def snapshot(self, occurrence_id: str) -> Snapshot | None:
        try:
            self._scheduler.point("snapshot")
        except DatabaseDown as error:
            raise EventsAway(str(error)) from error
        event = self._storage.event(occurrence_id)
        return Snapshot(
            occurrence=event.occurrence, event=event, occurred=event.occurred, ended=event.ended, valid=event.valid
        )

    def judge_begin(self, event: SimEvent) -> None:
        """Called by the workflow when it begins: never early, never for what has ended."""
        at = event.occurrence.at
        assert at is not None
        now = self._scheduler.clock.at + timedelta(seconds=self._scheduler.faults.skew)
        if event.ended or not (event.occurred or (event.valid and at + OFFSET <= now)):
            self.violations.append(f"{event} began at {now}")

    def disturb(self) -> None:
        """Let somebody save, edit or delete; let the poller look."""
        random = self._scheduler.random
        verb = random.choice(("arm", "move", "end", "turn", "turn", "poll", "poll"))
        pending = [name for name, event in self._storage.events.items() if not (event.ended or event.occurred)]
        if verb == "arm" and len(self._storage.events) < 8:
            number = str(len(self._storage.events) + 1)
            if number not in self._storage.events:
                seconds = random.randint(1, 150)
                self._scheduler.spawn("save", lambda: self._arm(number, seconds))
        elif verb == "poll":
            self.poll()
        elif pending:
            name, seconds = random.choice(pending), random.randint(1, 150)
            acts: dict[str, Callable[[], None]] = {
                "arm": lambda: self._move(name, seconds),
                "move": lambda: self._move(name, seconds),
                "end": lambda: self._end(name),
                "turn": lambda: self._turn(name),
            }
            self._scheduler.spawn(verb, acts[verb])

    def turn_true(self) -> None:
        """Let somebody save what makes every condition true, so that everything can end."""
        for name, event in self._storage.events.items():
            if not (event.valid or event.ended or event.occurred):
                self._scheduler.spawn("turn", lambda name=name: self._turn(name, to=True))  # type: ignore[misc]

    def check_put_off(self) -> None:
        """Check that nothing is left waiting for a condition that holds. For a moment at which nobody is at work."""
        for run in self._storage.runs():
            is_put_off = not run.has_begun and run.status is WorkflowStatus.WAITING and run.next_at is None
            if is_put_off and run.occurrence is not None and "condition" in run.why:
                event = self._storage.event(run.occurrence.id)
                require(not event.valid, "a start put off for its condition begins when that turns true", (run, event))

    def poll(self) -> None:
        """Let what is due occur."""
        for name, event in list(self._storage.events.items()):
            at = event.occurrence.at
            is_due = at is not None and at <= self._scheduler.clock.at
            if is_due and event.valid and not event.ended and not event.occurred:
                self._scheduler.spawn("poll", lambda name=name: self._occur(name))  # type: ignore[misc]

    def _arm(self, number: str, seconds: int) -> None:
        at = self._scheduler.clock.at + timedelta(seconds=seconds)
        occurrence = Occurrence(id=number, name=EVENT, entity=EntityRef(type="sim.thing", id=number), at=at)
        with self._storage.transaction():
            if self._storage.put_event(SimEvent(occurrence=occurrence), new=True):
                self._engine.plan([occurrence])

    def _move(self, name: str, seconds: int) -> None:
        with self._storage.transaction():
            event = self._storage.lock_event(name)
            if not (event.ended or event.occurred):
                at = self._scheduler.clock.at + timedelta(seconds=seconds)
                moved = replace(event, occurrence=replace(event.occurrence, at=at))
                self._storage.put_event(moved)
                self._engine.move([moved.occurrence])

    def _turn(self, name: str, *, to: bool | None = None) -> None:
        with self._storage.transaction():
            event = self._storage.lock_event(name)
            if not (event.ended or event.occurred):
                turned = replace(event, valid=not event.valid if to is None else to)
                self._storage.put_event(turned)
                self._engine.move([turned.occurrence])

    def _end(self, name: str) -> None:
        with self._storage.transaction():
            event = self._storage.lock_event(name)
            if not (event.ended or event.occurred):
                self._storage.put_event(replace(event, ended=True))
                self._engine.withdraw([event.occurrence], "ended")

    def _occur(self, name: str) -> None:
        with self._storage.transaction():
            event = self._storage.lock_event(name)
            at = event.occurrence.at
            assert at is not None
            if event.valid and not (event.ended or event.occurred) and at <= self._scheduler.clock.at:
                self._storage.put_event(replace(event, occurred=True))
                self._engine.occurred([event.occurrence])
