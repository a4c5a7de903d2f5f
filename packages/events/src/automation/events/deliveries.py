"""Which calls are owed: rows of deliveries, made, moved and cancelled in the transaction that changes their event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, Value, When

from automation.events.announcing import RELAY, Announcement, foreign_subscribers, packed
from automation.events.callbacks import Callback, EventPhase, callback_registry
from automation.events.conf import conf
from automation.events.keys import delivery_key, uuid7
from automation.events.lifecycle.reconcile import later
from automation.events.lifecycle.status import DeliveryStatus
from automation.events.models import Event, EventDelivery
from automation.events.moments import InstantField

__all__ = [
    "ahead",
    "cancel_unbegun",
    "due_times",
    "has_offsets",
    "is_told_of_move",
    "missed_ahead",
    "move_unbegun",
    "owed",
    "owed_at_occurrence",
    "realign",
    "relays",
    "wake_ahead",
    "write",
]

NOTHING = timedelta(0)


def owed(event: Event, phase: EventPhase, *, now: datetime) -> list[EventDelivery]:
    """Return the unsaved deliveries that the event owes for `phase`, due at once."""
    callbacks = callback_registry.matching(phase, event.event_name, event.entity_type)
    return [_delivery(event, callback, due_at=now, now=now) for callback in callbacks]


def owed_at_occurrence(event: Event, *, now: datetime) -> list[EventDelivery]:
    """Return the unsaved deliveries that the occurrence owes: those at it, and those after it."""
    start = event.at or event.occurred_at or now
    return [
        _delivery(event, callback, due_at=later(start, callback.offset) if callback.offset else now, now=now)
        for callback in _of_occurrence(event)
        if callback.offset >= NOTHING
    ]


def missed_ahead(event: Event, *, now: datetime) -> list[EventDelivery]:
    """Return the deliveries owed before the event, due now: it occurs, and perhaps they were never made."""
    return [
        _delivery(event, callback, due_at=now, now=now)
        for callback in _of_occurrence(event)
        if callback.offset < NOTHING
    ]


def ahead(event: Event, *, now: datetime) -> list[EventDelivery]:
    """Return the unsaved deliveries that are owed before the event's time; none when that has passed."""
    if event.at is None:
        return []
    return [
        _delivery(event, callback, due_at=later(event.at, callback.offset), now=now)
        for callback in _of_occurrence(event)
        if callback.offset < NOTHING
    ]


def has_offsets(event: Event) -> bool:
    """Return whether any callback is called before or after this event."""
    return any(callback.offset for callback in _of_occurrence(event))


def is_told_of_move(event: Event, *, since: int, using: str) -> bool:
    """Return whether a call for a move of this event, made at revision `since` or later, waits to begin."""
    waiting = EventDelivery.objects.using(using).filter(event_id=event.id, phase=EventPhase.RESCHEDULED, attempts=0)
    return waiting.filter(status=DeliveryStatus.PENDING, sequence__gte=since).exists()


def relays(
    event: Event, told: Iterable[Announcement], *, using: str, now: datetime, again: str = ""
) -> list[EventDelivery]:
    """Return the unsaved deliveries that carry these announcements to subscribers on other databases.

    `again` tells a repeated announcement of the same state from the first.
    """
    return [
        EventDelivery(
            id=uuid7(),
            event=event,
            key=delivery_key(event.id, event.revision, RELAY, subscriber.name, one.news, again),
            callback=subscriber.name,
            phase=RELAY,
            generation=event.generation,
            sequence=event.revision,
            offset=NOTHING,
            due_at=now,
            next_at=now,
            data=packed(one),
            created_at=now,
        )
        for subscriber in foreign_subscribers(using)
        for one in told
    ]


def write(deliveries: Sequence[EventDelivery], *, using: str, may_exist: bool = False) -> None:
    """Insert deliveries; with `may_exist`, those that are there already are left as they are."""
    if deliveries:
        rows = EventDelivery.objects.using(using)
        rows.bulk_create(deliveries, batch_size=conf().batch, ignore_conflicts=may_exist)


def move_unbegun(events: Sequence[Event], *, using: str) -> None:
    """Move what has not begun to the events' new dates, in one statement."""
    moved = [event for event in events if event.at is not None and has_offsets(event)]
    if not moved:
        return
    dates = Case(*(When(event_id=event.id, then=Value(event.at)) for event in moved), output_field=InstantField())
    due_at: Any = dates + F("offset")
    unbegun = _unbegun(moved, using=using).exclude(offset=NOTHING)
    unbegun.update(due_at=due_at, next_at=due_at, why="")


def realign(events: Sequence[Event], *, using: str) -> None:
    """Let a call whose callback has changed its offset stand for the new one, so that it is made once.

    What has not begun moves to the new time; what has begun stays as it is, and only takes the place of the call that
    would be made anew. Offsets of callbacks that this process does not know are another release's.
    """
    known = {event.id: event for event in events}
    rows = _of_events(events, using=using).filter(offset__lt=NOTHING).exclude(status=DeliveryStatus.CANCELLED)
    found: dict[tuple[UUID, str], list[EventDelivery]] = {}
    for row in rows.order_by("offset"):
        if row.generation == known[row.event_id].generation:
            found.setdefault((row.event_id, row.callback), []).append(row)
    for (event_id, name), calls in found.items():
        event = known[event_id]
        offsets = {one.offset for one in _of_occurrence(event) if one.name == name and one.offset < NOTHING}
        lost = [call for call in calls if call.offset not in offsets]
        free = sorted(offsets - {call.offset for call in calls})
        for call, offset in zip(lost, free, strict=False):
            _stand_for(call, event, offset, using=using)


def _stand_for(call: EventDelivery, event: Event, offset: timedelta, *, using: str) -> None:
    key = _key(event, EventPhase.OCCURRED, call.callback, offset)
    rows = EventDelivery.objects.using(using).filter(pk=call.pk)
    if event.at is not None:
        due_at = later(event.at, offset)
        unbegun = _unbegun([event], using=using).filter(pk=call.pk)
        values = {"offset": offset, "key": key, "due_at": due_at, "next_at": due_at, "why": ""}
        if unbegun.update(status=DeliveryStatus.PENDING, **values):
            return
    if call.key != key:
        rows.update(key=key)


def wake_ahead(events: Sequence[Event], *, using: str, now: datetime) -> None:
    """Let deliveries that waited for the condition be looked at again: it is true now, or the event has occurred."""
    held = [event for event in events if any(callback.offset < NOTHING for callback in _of_occurrence(event))]
    if held:
        # Also those that have begun: a try that failed is held, too, when its repetition meets a false condition.
        waiting = _of_events(held, using=using).filter(status=DeliveryStatus.PENDING, next_at__isnull=True)
        waiting.update(next_at=now, why="")


def cancel_unbegun(events: Mapping[Event, str], *, using: str, now: datetime) -> None:
    """Cancel what has not begun of these events; the values say why. What is due at the occurrence itself is owed."""
    ended = [event for event in events if has_offsets(event)]
    if not ended:
        return
    reasons: Any = Case(*(When(event_id=event.id, then=Value(events[event])) for event in ended))
    unbegun = _unbegun(ended, using=using).exclude(offset=NOTHING)
    unbegun.update(status=DeliveryStatus.CANCELLED, why=reasons, next_at=None, finished_at=now)


def _unbegun(events: Sequence[Event], *, using: str) -> Any:
    return _of_events(events, using=using).filter(
        Q(status=DeliveryStatus.PENDING) | Q(status=DeliveryStatus.PARKED),
        attempts=0,
        error="",  # one that failed and is run again by a person has begun
    )


def _of_events(events: Sequence[Event], *, using: str) -> Any:
    return EventDelivery.objects.using(using).filter(
        event_id__in=[event.id for event in events], phase=EventPhase.OCCURRED
    )


def _of_occurrence(event: Event) -> tuple[Callback, ...]:
    callbacks = callback_registry.matching(EventPhase.OCCURRED, event.event_name, event.entity_type)
    # An immediate event has no time of its own that one could be early for.
    return tuple(one for one in callbacks if one.offset >= NOTHING or not event.is_immediate)


def _delivery(event: Event, callback: Callback, *, due_at: datetime, now: datetime) -> EventDelivery:
    return EventDelivery(
        id=uuid7(),
        event=event,
        key=_key(event, callback.phase, callback.name, callback.offset),
        callback=callback.name,
        phase=callback.phase,
        generation=event.generation,
        sequence=event.revision,
        offset=callback.offset,
        background=callback.background,
        due_at=due_at,
        next_at=due_at,
        created_at=now,
    )


def _key(event: Event, phase: EventPhase, name: str, offset: timedelta) -> str:
    distinct = event.revision if phase is EventPhase.RESCHEDULED else 0
    return delivery_key(event.id, event.generation, phase, name, int(offset / timedelta(microseconds=1)), distinct)


def due_times(event: Event, *, now: datetime) -> list[datetime]:
    """Return when the calls with an offset will be due, as far as that lies ahead: what a timer may be set for."""
    start = event.at or event.occurred_at
    if start is None:
        return []
    times = [later(start, callback.offset) for callback in _of_occurrence(event) if callback.offset]
    return [moment for moment in times if moment > now]
