"""Taking back what the code no longer declares, and what belongs to entities that are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.db.models import CharField, Q
from django.db.models.functions import Cast

from automation.events.callbacks import EventPhase, callback_registry
from automation.events.conf import conf
from automation.events.entities import existing_ids
from automation.events.lifecycle.reconcile import Change, News, Verb
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.lifecycle.transitions import Cause, advance
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.querysets import EventQuerySet
from automation.events.registry import definitions_for
from automation.events.rows import state_of
from automation.events.settling import Decision, carry_out, retire

__all__ = ["retire_vanished", "withdraw_calls", "withdraw_events"]

Decide = Callable[[Event], Decision]


def retire_vanished(entity_types: Sequence[str], *, using: str, dry_run: bool = False) -> int:
    """Cancel the events of entities that were deleted behind our back, and make their rows history."""
    count = 0
    for entity_type in entity_types:
        rows = Event.objects.using(using).current().filter(entity_type=entity_type)
        for batch in _by_id(rows):
            alive = existing_ids(entity_type, {event.entity_id for event in batch}, using=using)
            gone = [event for event in batch if alive is not None and event.entity_id not in alive]
            count += _carry_out(gone, lambda event: retire(event, entity_data=None), using=using, dry_run=dry_run)
    return count


def withdraw_events(*, using: str, dry_run: bool = False) -> int:
    """Cancel pending events whose definition is gone from the code; nobody is called for it."""
    count = 0
    for batch in _by_id(Event.objects.using(using).current().filter(status=EventStatus.PENDING)):
        gone = [event for event in batch if definitions_for(event.entity_type, event.event_name) is None]
        count += _carry_out(gone, _withdraw, using=using, dry_run=dry_run)
    return count


def withdraw_calls(*, using: str, dry_run: bool = False) -> int:
    """Cancel calls ahead of an event that have not begun and that no callback stands for any more.

    What an event that has occurred owes is a debt, not a plan: it waits for its callback.
    """
    ahead = EventDelivery.objects.using(using).filter(
        status__in=[DeliveryStatus.PENDING, DeliveryStatus.PARKED],
        phase=EventPhase.OCCURRED,
        attempts=0,
        offset__lt=timedelta(0),
        event__status=EventStatus.PENDING,
    )
    columns = ("callback", "offset", "event__event_name", "event__entity_type")
    gone = Q(pk__in=[])
    for name, offset, event_name, entity_type in ahead.values_list(*columns).order_by().distinct():
        wanted = callback_registry.matching(EventPhase.OCCURRED, event_name, entity_type)
        if (name, offset) not in {(one.name, one.offset) for one in wanted}:
            gone |= Q(**dict(zip(columns, (name, offset, event_name, entity_type), strict=True)))
    if dry_run:
        return ahead.filter(gone).count()
    return ahead.filter(gone).update(
        status=DeliveryStatus.CANCELLED,
        why="its callback is no longer in the code",
        # The place is free again, for a release that brings the callback back.
        key=Cast("id", CharField(max_length=64)),
        next_at=None,
        finished_at=wiring.clock.now(),
    )


def _withdraw(event: Event) -> Decision:
    state = replace(
        state_of(event),
        status=advance(EventStatus.PENDING, Cause.WITHDRAWN),
        next_at=None,
        why="its definition is no longer in the code",
    )
    change = Change(verb=Verb.AMEND, state=state, news=(News.CANCELLED,))
    return Decision(declared=None, entity_id=event.entity_id, event=event, change=change, retires=True, quiet=True)


def _carry_out(events: Sequence[Event], decide: Decide, *, using: str, dry_run: bool) -> int:
    if events and not dry_run:
        with transaction.atomic(using=using):
            carry_out([decide(event) for event in events], using=using, now=wiring.clock.now())
    return len(events)


def _by_id(rows: EventQuerySet) -> Iterator[list[Event]]:
    """Yield rows in batches by id, without holding a cursor open while they are written."""
    size, batch = conf().batch, list(rows.order_by("id")[: conf().batch])
    while batch:
        yield batch
        batch = list(rows.filter(id__gt=batch[-1].id).order_by("id")[:size]) if len(batch) == size else []
