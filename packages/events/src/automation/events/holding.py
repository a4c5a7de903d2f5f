"""Deliveries that may have to wait: early calls for their condition, relays to other databases for their turn.

Also those that a process has left behind which moved or ended their event without knowing the callback: before a call
with an offset begins, it is compared with its event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from automation.events.callbacks import EventPhase
from automation.events.conf import conf
from automation.events.entities import read_entities
from automation.events.errors import StaleEvent
from automation.events.lifecycle.reconcile import (
    CONDITION_FAILED,
    CONDITION_FALSE,
    NO_DATE,
    Verb,
    later,
    reconcile,
)
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.locks import unheld
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.rows import state_of
from automation.events.settling import Decision, carry_out, retire
from automation.events.snapshots import snapshot

__all__ = ["Ahead", "in_line", "in_order", "is_derived", "look_ahead", "still_ahead"]

TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What a pending event looks like now, whatever its row says."""

    at: datetime | None
    """The entity's date; the stored one where there is no entity to ask."""
    holds: bool


def in_order(delivery: EventDelivery, *, using: str) -> bool:
    """Return whether an announcement is next in turn: those of one event to one subscriber keep their order."""
    earlier = EventDelivery.objects.using(using).filter(
        event_id=delivery.event_id,
        callback=delivery.callback,
        phase=delivery.phase,
        sequence__lt=delivery.sequence,
        status__in=[DeliveryStatus.PENDING, DeliveryStatus.PARKED],
    )
    first = earlier.order_by("sequence").first()
    if first is None:
        return True
    turn = first.next_at or wiring.clock.now() + conf().missing_grace
    rows = EventDelivery.objects.using(using).filter(pk=delivery.pk, attempts=delivery.attempts)
    rows.filter(status=DeliveryStatus.PENDING).update(next_at=turn, why="an earlier change comes first")
    return False


def is_derived(delivery: EventDelivery) -> bool:
    """Return whether a call follows its event: it has an offset and has not begun."""
    unbegun = delivery.attempts == 0 and not delivery.error
    return delivery.phase == EventPhase.OCCURRED and delivery.offset != timedelta(0) and unbegun


def in_line(delivery: EventDelivery, *, using: str, now: datetime) -> bool:
    """Return whether a derived call may begin by its event as it is now; if not, move or cancel it.

    Call it in the transaction that claims the call: that holds it against whoever moves the event, and does not wait
    for one who is at it already.
    """
    mine = EventDelivery.objects.using(using).filter(pk=delivery.pk, status=DeliveryStatus.PENDING, attempts=0)
    fresh = next(iter(unheld(mine.filter(next_at__lte=now).select_related("event"), using=using)), None)
    if fresh is None:
        return False
    event = delivery.event = fresh.event
    start = event.at or event.occurred_at
    if (why := _ending(event, fresh)) or start is None:
        mine.update(status=DeliveryStatus.CANCELLED, why=why or NO_DATE, next_at=None, finished_at=now)
        return False
    due_at = later(start, fresh.offset)
    if due_at > now:
        mine.update(due_at=due_at, next_at=due_at, why="")
    return due_at <= now


def _ending(event: Event, delivery: EventDelivery) -> str:
    """Return why a call is not owed any more that nobody has cancelled; empty when it is owed."""
    if event.status in (EventStatus.CANCELLED, EventStatus.EXPIRED):
        return str(event.status)
    if event.current_key is None:
        return "its event is history"
    return "disarmed" if delivery.generation != event.generation else ""


def still_ahead(delivery: EventDelivery, *, using: str) -> bool:
    """Return whether a call may be made now; one that is not early for its event always may.

    The entity is read afresh. A date that was moved behind our back moves the event, and a condition that is false
    holds the call back until a save makes it true or the event occurs.
    """
    event = delivery.event
    if delivery.offset >= timedelta(0) or event.status != EventStatus.PENDING:
        return True
    event = Event.objects.using(using).get(pk=event.pk)
    now = wiring.clock.now()
    if event.status != EventStatus.PENDING:
        return True
    if event.definition is None:
        why = "its event's definition is not in the code of the process that checked it"
        return _hold(delivery, until=now + conf().missing_grace, why=why, using=using)
    fresh = read_entities(event.definition.model, [event.entity_id], [event.definition], using=using)
    if event.entity_id not in fresh:
        return _settle(retire(event, entity_data=None), using=using)
    seen = snapshot(event.definition, fresh[event.entity_id], using=using)
    change = reconcile(seen, state_of(event), now)
    decision = Decision(declared=event.definition, entity_id=event.entity_id, event=event, change=change)
    if seen.at != event.at and change.verb is not Verb.KEEP:
        return _settle(decision, using=using)
    # What is false must be stored as false: the save that makes it true again then sees it turn, and wakes the call.
    why = CONDITION_FAILED if seen.failure else CONDITION_FALSE
    return seen.holds or _settle(decision, held=delivery, why=why, using=using)


def look_ahead(event: Event) -> Ahead:
    """Look afresh at a pending event, for whoever begins something before its time.

    What is found false is stored as false: the save that makes it true again is then announced as `moved`. A date that
    was changed behind our back is given as it is now; the row follows when its old time comes.
    """
    using = event._state.db or "default"
    for _ in range(TRIES):
        if event.definition is None:
            break
        fresh = read_entities(event.definition.model, [event.entity_id], [event.definition], using=using)
        if event.entity_id not in fresh:
            break
        event.entity = fresh[event.entity_id].instance  # what is judged is what whoever asked will see
        seen = snapshot(event.definition, fresh[event.entity_id], using=using)
        if seen.holds or seen.at != event.at:
            return Ahead(at=seen.at, holds=seen.holds and seen.at is not None)
        change = reconcile(seen, state_of(event), wiring.clock.now())
        try:
            with transaction.atomic(using=using):
                decision = Decision(declared=event.definition, entity_id=event.entity_id, event=event, change=change)
                carry_out([decision], using=using, now=wiring.clock.now())
        except StaleEvent:
            event.refresh_from_db(using=using)
            continue
        return Ahead(at=seen.at, holds=False)
    return Ahead(at=event.at, holds=False)


def _settle(decision: Decision, *, held: EventDelivery | None = None, why: str = "", using: str) -> bool:
    """Bring the row in line first, and let `held` wait; a call is then made at its own time, if at all."""
    assert decision.event is not None
    try:
        with transaction.atomic(using=using):
            if not unheld(Event.objects.using(using).filter(pk=decision.event.pk), using=using).exists():
                return False  # somebody is just changing it; the next look sees to what
            carry_out([decision], using=using, now=wiring.clock.now())
            if held is not None and _is_as_read(decision.event, using=using):
                _hold(held, until=None, why=why, using=using)
    except StaleEvent:
        pass  # whoever was faster has brought it in line
    return False


def _is_as_read(event: Event, *, using: str) -> bool:
    """Return whether nobody has changed the row, and let nobody until the transaction ends."""
    rows = Event.objects.using(using).select_for_update().filter(pk=event.pk, revision=event.revision)
    return bool(rows.exists())


def _hold(delivery: EventDelivery, *, until: datetime | None, why: str, using: str) -> bool:
    rows = EventDelivery.objects.using(using).filter(
        pk=delivery.pk, status=DeliveryStatus.PENDING, attempts=delivery.attempts, next_at=delivery.next_at
    )
    rows.update(next_at=until, why=why)
    return False
