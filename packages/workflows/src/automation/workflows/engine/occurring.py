"""What events do to runs: plan them ahead, move them, call them off, start them, and wake those that wait."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.results import EVENT_PREFIX
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.keys import event_signal_id
from automation.workflows.engine.making import ready_run
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.runtime import STALE_TRIES, Runtime
from automation.workflows.engine.starting import Starter
from automation.workflows.errors import NotConfigured, StaleRun
from automation.workflows.runs import causes
from automation.workflows.runs.values import Occurrence, Run, Signal, WorkflowStatus

__all__ = ["Occurring"]

_NONE = timedelta(0)
_NOT_BEGUN = "not begun"
"""Until when is told by `wake_at` alone, which follows the event's date."""


class Occurring:
    """Follows events. Every method is bulk, idempotent, and joins the caller's transaction."""

    def __init__(self, runtime: Runtime, mover: Mover, hints: Hints, starter: Starter) -> None:
        self._runtime = runtime
        self._mover = mover
        self._hints = hints
        self._starter = starter

    def plan(self, occurrences: Sequence[Occurrence]) -> None:
        """Reserve a start for each workflow that wants to run before one of these events."""
        now = self._runtime.now()
        reserved = [
            self._reserved(definition, occurrence, now)
            for occurrence, definition in self._triggered(occurrences)
            if _offset(definition) < _NONE and occurrence.at is not None
        ]
        if reserved:
            with self._runtime.storage.transaction():
                # Where the mailbox stands is noted when they begin; until then they wait for no signal.
                self._runtime.storage.plans.reserve(reserved)
                self._starter.hint_at(reserved)

    def move(self, occurrences: Sequence[Occurrence]) -> None:
        """Follow the events' new dates; what has begun is not touched."""
        now = self._runtime.now()
        with self._runtime.storage.transaction():
            self._runtime.storage.plans.move(occurrences, now)
            self._hint_at_due([occurrence for occurrence in occurrences if self._may_be_near(occurrence, now)])

    def withdraw(self, occurrences: Sequence[Occurrence], reason: str) -> None:
        """Cancel what these events have reserved and what has not begun."""
        ids = [occurrence.id for occurrence in occurrences]
        with self._runtime.storage.transaction():
            self._runtime.storage.plans.withdraw(ids, reason, self._runtime.now())

    def occurred(self, occurrences: Sequence[Occurrence]) -> None:
        """Start what these events start, and send the signal that runs wait for with `wait_for_event`."""
        with self._runtime.storage.transaction():
            self.start(occurrences)
            self._mover.post([self._signal(occurrence) for occurrence in occurrences])

    def handle(self, event: Any) -> list[Run]:
        """Start what one event object starts; return the runs."""
        if self._runtime.wiring.occurrences is None:
            raise NotConfigured(
                f"The engine cannot read {event!r}: nothing here knows events. "
                "Add 'automation.bridge' to INSTALLED_APPS, or set wiring.occurrences."
            )
        with self._runtime.storage.transaction():
            return self.start([self._runtime.wiring.occurrences.describe(event)])

    def start(self, occurrences: Sequence[Occurrence]) -> list[Run]:
        """Start each workflow that these occurrences trigger, at most once per occurrence."""
        now = self._runtime.now()
        triggered = list(self._triggered(occurrences))
        if not triggered:
            return []
        ahead = [occurrence for occurrence, definition in triggered if _offset(definition) < _NONE]
        begun = {_identity(run.occurrence, run.name): run for run in self._begin(ahead) if run.occurrence is not None}
        fresh = [
            self._started(definition, occurrence, now)
            for occurrence, definition in triggered
            if _identity(occurrence, definition.name) not in begun
        ]
        return [*begun.values(), *self._insert(fresh)]

    def _triggered(self, occurrences: Sequence[Occurrence]) -> Iterable[tuple[Occurrence, WorkflowDefinition]]:
        for occurrence in occurrences:
            for definition in self._runtime.registry.triggered_by(occurrence.name, occurrence.entity):
                yield occurrence, definition

    def _insert(self, runs: list[Run]) -> list[Run]:
        """Store new starts; one that somebody was just about to reserve is there by now, and begins instead."""
        if not runs:
            return []
        with self._runtime.storage.transaction():
            return [
                self._begun(stored) if stored.id != run.id and run.offset < _NONE else stored
                for run, stored in zip(runs, self._starter.insert(runs), strict=True)
            ]

    def _reserved(self, definition: WorkflowDefinition, occurrence: Occurrence, now: datetime) -> Run:
        """A start ahead of its event. When the event's own time has passed, only the occurrence begins it."""
        assert occurrence.at is not None
        planned = occurrence.at + _offset(definition)
        is_late = occurrence.at <= now
        why = "not begun: waits for its event to occur" if is_late else _NOT_BEGUN
        return replace(
            self._started(definition, occurrence, now),
            status=WorkflowStatus.WAITING,
            wake_at=planned,
            next_at=None if is_late else planned,
            why=why,
        )

    def _started(self, definition: WorkflowDefinition, occurrence: Occurrence, now: datetime) -> Run:
        """A start at its event, or after it. Its Context is made when it begins."""
        run = replace(
            ready_run(definition, self._runtime.new_id(), None, now),
            entity=occurrence.entity,
            occurrence=replace(occurrence, payload=None),
            offset=_offset(definition),
        )
        later = (occurrence.at or now) + run.offset
        if later <= now or run.offset <= _NONE:
            return run
        waiting = WorkflowStatus.WAITING
        return replace(run, status=waiting, wake_at=later, next_at=later, why=_NOT_BEGUN)

    def _begin(self, occurrences: Sequence[Occurrence]) -> list[Run]:
        """Begin the reserved starts of events that have occurred before them."""
        if not occurrences:
            return []
        reserved = self._runtime.storage.plans.reserved([occurrence.id for occurrence in occurrences])
        return [self._begun(run) for run in reserved if run.offset < _NONE]

    def _begun(self, run: Run) -> Run:
        """Make one start ready; where a worker is deciding about it, have that worker look again."""
        for _ in range(STALE_TRIES):
            if run.has_begun or run.status is WorkflowStatus.PAUSED or run.status.is_terminal:
                return run
            try:
                return self._mover.move(run, self._news_for(run))
            except StaleRun:
                run = self._runtime.storage.load(run.id) or run
        raise StaleRun(run.id, run.revision)

    def _news_for(self, run: Run) -> causes.Due | causes.EventChanged:
        if run.status is WorkflowStatus.WAITING:
            return causes.Due(position=self._runtime.mailbox.position())
        return causes.EventChanged()

    def _may_be_near(self, occurrence: Occurrence, now: datetime) -> bool:
        """Tell, without a look at the rows, whether a start of this occurrence may be due before the next sweep."""
        if occurrence.at is None:
            return False
        executor = self._runtime.wiring.executor
        horizon = _NONE if executor is None else executor.horizon
        triggered = self._runtime.registry.triggered_by(occurrence.name, occurrence.entity)
        return any(occurrence.at + _offset(definition) <= now + horizon for definition in triggered)

    def _hint_at_due(self, occurrences: Sequence[Occurrence]) -> None:
        if not occurrences:
            return
        for run in self._runtime.storage.plans.reserved([occurrence.id for occurrence in occurrences]):
            if run.status is WorkflowStatus.WAITING and run.next_at is not None:
                self._hints.give([run.id], run.next_at)

    def _signal(self, occurrence: Occurrence) -> Signal:
        return Signal(
            id=event_signal_id(occurrence.id, occurrence.generation),
            name=f"{EVENT_PREFIX}{occurrence.name}",
            payload=occurrence.payload,
            subjects=(occurrence.entity, *occurrence.about),
            sent_at=self._runtime.now(),
        )


def _identity(occurrence: Occurrence, name: str) -> tuple[str, int, str]:
    return occurrence.id, occurrence.generation, name


def _offset(definition: WorkflowDefinition) -> timedelta:
    return _NONE if definition.trigger is None else definition.trigger.offset
