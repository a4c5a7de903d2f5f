"""The one place where adapters plug into events, so that neither side has to import the other."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum

from automation.events.ports.clock import Clock, SystemClock
from automation.events.ports.dispatcher import Dispatcher
from automation.events.ports.processor import Processor
from automation.events.ports.subscriber import Eraser, Subscriber

__all__ = ["Wiring", "wiring"]


class _Unchanged(Enum):
    """Stands for an argument that was not given, where None means that nothing is plugged in."""

    UNCHANGED = "unchanged"


UNCHANGED = _Unchanged.UNCHANGED


class Wiring:
    """What is plugged in. `ready()` of each app sets its own part; tests use `override`."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.dispatcher: Dispatcher | None = None
        """None: deliveries run in this process after the commit, and due events wait for `process_events`."""
        self.processor: Processor | None = None
        """Set by the events app itself: what executors call."""
        self.erasers: dict[str, Eraser] = {}
        """By package: what `automation_erase` calls besides its own; assigning the same name again replaces it."""
        self.around_callbacks: Callable[[], AbstractContextManager[object]] = nullcontext
        """Entered around every call of a callback, by whoever must keep it apart from the code that it is called in."""
        self._subscribers: dict[str, Subscriber] = {}

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """The subscribers in the order in which they were plugged in."""
        return tuple(self._subscribers.values())

    def subscribe(self, subscriber: Subscriber) -> None:
        """Plug a subscriber in; the same name again replaces it, so `ready()` may run twice."""
        self._subscribers[subscriber.name] = subscriber

    @contextmanager
    def override(
        self, *, clock: Clock | None = None, dispatcher: Dispatcher | _Unchanged | None = UNCHANGED
    ) -> Iterator[None]:
        """Use another clock or dispatcher inside the block (for tests), and put the old ones back.

        `dispatcher=None` is none at all: deliveries run in this process.
        """
        before = self.clock, self.dispatcher
        self.clock = clock or self.clock
        if not isinstance(dispatcher, _Unchanged):
            self.dispatcher = dispatcher
        try:
            yield
        finally:
            self.clock, self.dispatcher = before


wiring = Wiring()
