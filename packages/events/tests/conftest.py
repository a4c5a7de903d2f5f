"""What tests of this package share: a clock that stands still, and callbacks that are gone afterwards."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from automation.events import registry
from automation.events.callbacks import CallbackRegistry, callback_registry
from automation.events.definitions import EventDefinition
from automation.events.ports import wiring
from automation.testing.flushing import quick_flush

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


class StillClock:
    """A clock that moves only when told to."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> datetime:
        self.moment += timedelta(**by)
        return self.moment


@pytest.fixture(autouse=True)
def clock() -> Iterator[StillClock]:
    still = StillClock()
    with wiring.override(clock=still):
        yield still


@pytest.fixture(autouse=True)
def callbacks() -> Iterator[CallbackRegistry]:
    before = dict(callback_registry._subscriptions)
    callback_registry.clear()
    yield callback_registry
    callback_registry._subscriptions.clear()
    callback_registry._subscriptions.update(before)


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Sequence[EventDefinition]], None]]:
    """Have reservations declare these definitions, and no others, from now on."""
    from tests.hotel.models import Reservation

    def change(definitions: Sequence[EventDefinition]) -> None:
        monkeypatch.setattr(Reservation, "events", definitions)
        registry.forget()

    yield change
    monkeypatch.undo()
    registry.forget()


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    with quick_flush():
        yield
