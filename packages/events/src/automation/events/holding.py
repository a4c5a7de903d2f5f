"""Calls that may have to wait: those ahead of an event for its condition, those to other databases for their turn."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from automation.events.conf import conf
from automation.events.entities import read_entities
from automation.events.errors import StaleEvent
from automation.events.lifecycle.reconcile import CONDITION_FALSE, Verb, reconcile
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.rows import state_of
from automation.events.settling import Decision, carry_out, retire
from automation.events.snapshots import snapshot

__all__ = ["in_order", "still_ahead"]


def in_order(delivery: EventDelivery, *, using: str) -> bool:
    """Tell whether an announcement is next in turn: those of one event to one subscriber keep their order."""
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


def still_ahead(delivery: EventDelivery, *, using: str) -> bool:
    """Tell whether a call may be made now; one that is not early for its event always may.

    The entity is read afresh. A date that was moved behind our back moves the event, and a condition that is false
    holds the call back until a save makes it true or the event occurs.
    """
    event = delivery.event
    if delivery.offset >= timedelta(0) or event.status != EventStatus.PENDING:
        return True
    event = Event.objects.using(using).get(pk=event.pk)
    now = wiring.clock.now()
    if event.status != EventStatus.PENDING:
        return bool(event.status == EventStatus.OCCURRED)
    if event.definition is None:
        why = "its event's definition is not in the code of the process that looked"
        return _hold(delivery, until=now + conf().missing_grace, why=why, using=using)
    fresh = read_entities(event.definition.model, [event.entity_id], [event.definition], using=using)
    if event.entity_id not in fresh:
        return _settle(retire(event, entity_data=None), using=using)
    seen = snapshot(event.definition, fresh[event.entity_id], using=using)
    change = reconcile(seen, state_of(event), now)
    if seen.at != event.at and change.verb is not Verb.KEEP:
        decision = Decision(declared=event.definition, entity_id=event.entity_id, event=event, change=change)
        return _settle(decision, using=using)
    return seen.holds or _hold(delivery, until=None, why=CONDITION_FALSE, using=using)


def _settle(decision: Decision, *, using: str) -> bool:
    """Bring the row in line first; the call is then made at its own time, if at all."""
    try:
        with transaction.atomic(using=using):
            carry_out([decision], using=using, now=wiring.clock.now())
    except StaleEvent:
        pass  # whoever was faster has brought it in line
    return False


def _hold(delivery: EventDelivery, *, until: datetime | None, why: str, using: str) -> bool:
    rows = EventDelivery.objects.using(using).filter(
        pk=delivery.pk, status=DeliveryStatus.PENDING, attempts=delivery.attempts, next_at=delivery.next_at
    )
    rows.update(next_at=until, why=why)
    return False
