"""Deleting old history. What keeps an event from occurring again is never deleted while its entity exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from automation.events.callbacks import EventPhase
from automation.events.conf import conf
from automation.events.entities import existing_ids
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.models import Event, EventDelivery
from automation.events.rows import as_read

__all__ = ["Cleaned", "clean_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was cleaned up."""

    deleted: int = 0
    """Rows of events that are gone."""
    emptied: int = 0
    """Rows kept as a mark that the event has occurred, without payload, error and deliveries."""
    calls: int = 0
    """Rows of finished calls that events which are still current have left behind."""


def clean_up(cutoff: datetime, *, using: str) -> Cleaned:
    """Delete what was settled before `cutoff` and owes nothing any more, in batches of their own transactions."""
    deleted, emptied = 0, 0
    settled = Event.objects.using(using).filter(settled_at__lt=cutoff).exclude(status=EventStatus.PENDING)
    settled = settled.exclude(deliveries__status__in=[DeliveryStatus.PENDING, DeliveryStatus.PARKED])
    reached = Q()
    while batch := list(settled.filter(reached).order_by("settled_at", "id")[: conf().batch]):
        reached = Q(settled_at__gt=batch[-1].settled_at) | Q(settled_at=batch[-1].settled_at, id__gt=batch[-1].id)
        kept = _still_needed(batch, using=using)
        deleted += _delete([event for event in batch if event.pk not in kept], using=using)
        emptied += _empty([event for event in batch if event.pk in kept], using=using)
    return Cleaned(deleted=deleted, emptied=emptied, calls=_forget_calls(cutoff, using=using))


def _forget_calls(cutoff: datetime, *, using: str) -> int:
    """Delete finished deliveries (of moves, relays and earlier generations) of events that are still current.

    The calls of the occurrence that may yet come stay, made or not: they are the record that keeps them from being
    made twice. So do failed ones, which a person may run again.
    """
    finished = EventDelivery.objects.using(using).filter(
        status__in=[DeliveryStatus.DELIVERED, DeliveryStatus.CANCELLED], next_at__isnull=True, finished_at__lt=cutoff
    )
    left = finished.filter(~Q(phase=EventPhase.OCCURRED) | Q(generation__lt=F("event__generation"))).order_by("id")
    count, ids = 0, list(left.values_list("pk", flat=True)[: conf().batch])
    while ids:
        rows: QuerySet[EventDelivery] = EventDelivery.objects.using(using).filter(pk__in=ids)
        count += int(rows._raw_delete(using))
        ids = list(left.filter(pk__gt=ids[-1]).values_list("pk", flat=True)[: conf().batch])
    return count


def _still_needed(events: Sequence[Event], *, using: str) -> set[Any]:
    """Return the keys of the current rows whose entity exists: without them, its next save would arm it again."""
    by_type: dict[str, list[Event]] = {}
    for event in events:
        if event.current_key is not None:
            by_type.setdefault(event.entity_type, []).append(event)
    needed: set[Any] = set()
    for entity_type, current in by_type.items():
        alive = existing_ids(entity_type, [event.entity_id for event in current], using=using)
        needed |= {event.pk for event in current if alive is None or event.entity_id in alive}
    return needed


def _delete(events: Sequence[Event], *, using: str) -> int:
    if not events:
        return 0
    with transaction.atomic(using=using):
        # Only as they were read: a row that was settled anew meanwhile is not old history.
        rows = Event.objects.using(using).filter(as_read(events))
        ids = list(rows.values_list("pk", flat=True))
        if not ids:
            return 0
        EventDelivery.objects.using(using).filter(event_id__in=ids)._raw_delete(using)
        gone: QuerySet[Event] = Event.objects.using(using).filter(pk__in=ids)
        return int(gone._raw_delete(using))


def _empty(events: Sequence[Event], *, using: str) -> int:
    if not events:
        return 0
    with transaction.atomic(using=using):
        rows = Event.objects.using(using).filter(as_read(events))
        ids = list(rows.values_list("pk", flat=True))
        EventDelivery.objects.using(using).filter(event_id__in=ids)._raw_delete(using)
        # Without `settled_at` the next clean-up does not look at it again; when it becomes history it gets a new one.
        marks = rows.filter(pk__in=ids)  # not what was armed again just now: that is history with a time of its own
        return int(marks.update(payload=None, about=None, error="", entity_data=None, settled_at=None))
