"""The engine's view of events: the `Occurrences` port over Event rows, read afresh at each question."""

from collections.abc import Iterator
from dataclasses import replace

from django.db import DatabaseError, InterfaceError, router

from automation.bridge.payload import translated
from automation.events.conf import conf
from automation.events.databases import aliases
from automation.events.holding import Ahead, look_ahead
from automation.events.models import Event, EventStatus
from automation.events.ports import Occurrence as Announced
from automation.workflows.ports import EventsAway, Occurrence, Snapshot

__all__ = ["EventOccurrences"]

ENDED = frozenset({EventStatus.CANCELLED, EventStatus.EXPIRED})


class EventOccurrences:
    """Tells what has become of an event since a run was reserved for it."""

    def describe(self, event: Event) -> Occurrence:
        """Return the values of an Event that somebody hands to `engine.handle_event_occurred`."""
        return translated(_announced(event))

    def snapshot(self, occurrence_id: str) -> Snapshot | None:
        """Read the event and its entity now, on the database where the event is; None when it is gone."""
        try:
            return self._read(occurrence_id)
        except (DatabaseError, InterfaceError) as error:
            raise EventsAway(f"Event {occurrence_id} cannot be read: {error}") from error

    def _read(self, occurrence_id: str) -> Snapshot | None:
        event = _find(occurrence_id)
        if event is None:
            return None
        # Before it occurs, an `update()` may have changed its date or its condition, of which its row knows nothing.
        # Either way the entity is read anew, and `event.entity` then is what was judged.
        pending = event.status == EventStatus.PENDING
        ahead = look_ahead(event) if pending else Ahead(at=event.at, holds=event.is_valid)
        return Snapshot(
            occurrence=replace(self.describe(event), at=ahead.at),
            valid=ahead.holds,
            event=event,
            occurred=event.status == EventStatus.OCCURRED,
            ended=event.status in ENDED,
        )


def _announced(event: Event) -> Announced:
    return Announced(
        event_id=event.pk,
        event_name=event.event_name,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        at=event.at,
        generation=event.generation,
        occurred_at=event.occurred_at,
        payload=event.payload,
        about=tuple((kind, key) for kind, key in event.about or ()),
    )


def _find(occurrence_id: str) -> Event | None:
    # Read where it is written: a replica that lags would answer with what used to be.
    for alias in _likely_first():
        found: Event | None = Event.objects.using(alias).filter(pk=occurrence_id).first()
        if found is not None:
            return found
    return None


def _likely_first() -> Iterator[str]:
    """Yield the databases on which events may be; others are asked only when the usual one does not have it."""
    home, chosen = router.db_for_write(Event), conf().databases
    if chosen is None or home in chosen:
        yield home
    yield from (alias for alias in aliases() if alias != home)
