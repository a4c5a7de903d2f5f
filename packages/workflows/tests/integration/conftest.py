"""What integration tests work with: the engine on the real database, a clock that stands still, no queue."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from automation.testing.flushing import quick_flush
from automation.workflows.core import engine
from automation.workflows.ports import EntityRef, Occurrence, Snapshot, wiring
from tests.parcelapp.models import Parcel

DATABASE = os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite")
collect_ignore = {
    "postgres": ["test_sqlite.py", "test_mariadb.py"],
    "mariadb": ["test_plans.py", "test_sqlite.py"],
    "sqlite": ["test_plans.py", "test_barriers.py", "test_mariadb.py"],
}[DATABASE]
"""What speaks of one database alone is not collected on the others."""


class StillClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self._now = datetime(2030, 5, 17, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, **duration: float) -> None:
        self._now += timedelta(**duration)


class Heap:
    """An executor that keeps hints until the test works them off, in the order in which they came."""

    horizon = timedelta(days=1)

    def __init__(self) -> None:
        self.hints: list[tuple[UUID, datetime | None]] = []

    def enqueue(self, run_ids: Sequence[UUID], *, run_after: datetime | None = None) -> None:
        self.hints += [(run_id, run_after) for run_id in run_ids]

    def work_off(self) -> None:
        """Be a worker until nothing is due."""
        while due := [hint for hint in self.hints if hint[1] is None or hint[1] <= wiring.clock.now()]:
            self.hints.remove(due[0])
            engine.execute_step(due[0][0])


class ParcelEvents:
    """The bridge in small: occurrences are about parcels, and the event object is what the guide's is."""

    def __init__(self) -> None:
        self.known: dict[str, Occurrence] = {}
        self.occurred: set[str] = set()
        self.valid = True
        self.was_in_doubt = False

    def describe(self, event: Any) -> Occurrence:
        return self.known[event.id]

    def snapshot(self, occurrence_id: str) -> Snapshot | None:
        occurrence = self.known.get(occurrence_id)
        if occurrence is None:
            return None
        is_past = occurrence.at is not None and occurrence.at <= wiring.clock.now()
        occurred = is_past or occurrence_id in self.occurred
        return Snapshot(
            occurrence=occurrence, event=EventLike(occurrence), occurred=occurred, ended=False, valid=self.valid
        )

    def add(self, name: str, parcel: Parcel, at: datetime, **payload: Any) -> Occurrence:
        entity = EntityRef(type="parcelapp.parcel", id=str(parcel.pk))
        occurrence = Occurrence(id=f"{name}-{parcel.pk}", name=name, entity=entity, at=at, payload=payload)
        self.known[occurrence.id] = occurrence
        return occurrence


class EventLike:
    """What user code sees of an event."""

    def __init__(self, occurrence: Occurrence) -> None:
        self.id = occurrence.id
        self.event_name = occurrence.name
        self.entity = Parcel.objects.get(pk=occurrence.entity.id)


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    with quick_flush():
        yield


@pytest.fixture
def clock() -> Iterator[StillClock]:
    """The engine's clock, standing still."""
    still = StillClock()
    with wiring.override(clock=still):
        yield still


@pytest.fixture
def queue(clock: StillClock) -> Iterator[Heap]:
    """The engine's executor: nothing is worked on before `queue.work_off()`."""
    heap = Heap()
    with wiring.override(executor=heap):
        yield heap


@pytest.fixture
def events(clock: StillClock) -> Iterator[ParcelEvents]:
    """The engine's view of events."""
    parcels = ParcelEvents()
    with wiring.override(occurrences=parcels):
        yield parcels
