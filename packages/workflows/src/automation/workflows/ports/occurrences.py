"""The engine's view of events: still valid? what does user code get to see?"""

from dataclasses import dataclass
from typing import Any, Protocol

from automation.workflows.errors import EventsAway
from automation.workflows.runs.values import Occurrence

__all__ = ["EventsAway", "Occurrences", "Snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An occurrence looked at just now, on freshly read data."""

    occurrence: Occurrence
    event: Any
    """The object that `create_context(event=…)` and `should_run_for_event(event)` receive; opaque to the engine."""
    occurred: bool
    ended: bool
    """It was cancelled, expired or superseded: it will not occur."""
    valid: bool
    """Its condition holds now."""


class Occurrences(Protocol):
    """Tells what an occurrence is now."""

    def describe(self, event: Any) -> Occurrence:
        """Return the values of an event object that somebody hands to `engine.handle_event_occurred`."""
        ...

    def snapshot(self, occurrence_id: str) -> Snapshot | None:
        """Read the occurrence and its entity afresh; None when the event is gone.

        Raises EventsAway while they cannot be read: the start stays reserved, however long that takes. Whatever else it
        raises counts as a lost worker, of which a start has few.
        """
        ...
