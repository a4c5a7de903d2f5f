"""Letting events occur: rows that are due are judged by a freshly read entity, and claimed by a guarded write.

The order of reading is what makes it right: first the row, then the entity. Whoever changes the entity afterwards
changes the row's revision too, and the guarded write finds out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from automation.events.conf import conf
from automation.events.entities import Fresh, hold_entities, read_for
from automation.events.errors import StaleEvent
from automation.events.faults import fault
from automation.events.guarded import failure_text
from automation.events.lifecycle.reconcile import Change, Verb, judge
from automation.events.lifecycle.status import EventStatus
from automation.events.locks import can_skip, unheld
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.registry import Declared, definitions_for
from automation.events.rows import state_of, update_rows
from automation.events.settling import Decision, carry_out, retire
from automation.events.snapshots import carry, snapshot, with_failure

__all__ = ["BUSY", "look_at", "occur"]

logger = logging.getLogger("automation.events")

BUSY = timedelta(seconds=1)
"""How long a row is left alone that somebody is changing, or whose entity somebody is saving."""


def occur(event_ids: Sequence[UUID], *, using: str) -> list[EventDelivery]:
    """Judge these events if they are due; return the deliveries that are due at once."""
    now = wiring.clock.now()
    events = list(Event.objects.using(using).due(now).filter(pk__in=event_ids))
    # Those of one entity are written at once without asking first who holds them: whoever does is saving that entity.
    return look_at(events, using=using, waits=len({(one.entity_type, one.entity_id) for one in events}) == 1)[1]


def look_at(events: Sequence[Event], *, using: str, waits: bool = False) -> tuple[int, list[EventDelivery]]:
    """Judge rows that were read as due; return how many occurred, and the deliveries that are due at once.

    They are written together. When somebody else was faster with one of them, or one cannot be written, each is
    tried by itself, so that it holds up no other. A row that somebody else is just changing is left for the next look,
    unless this one `waits` for it.
    """
    if not events:
        return 0, []
    now = wiring.clock.now()
    try:
        decisions = _judge(events, using=using, now=now)
    except Exception as error:  # noqa: BLE001 - an entity may be unreadable in any way; it must not stop the others
        return _apart(events, error, using=using, now=now)
    sure = [decision for decision in decisions if not _contradicts_row(decision)]
    doubtful = [decision.event for decision in decisions if decision.event is not None and _contradicts_row(decision)]
    settled = [one.event for one in sure if one.event is not None]
    occurred, due = _settle(settled, lambda: sure if waits else _unheld(sure, using=using), using=using)
    more = _settle(doubtful, lambda: _judge(_held(doubtful, using=using), using=using, now=now), using=using)
    return occurred + more[0], [*due, *more[1]]


def _settle(
    events: Sequence[Event], decide: Callable[[], Sequence[Decision]], *, using: str
) -> tuple[int, list[EventDelivery]]:
    if not events:
        return 0, []
    now = wiring.clock.now()
    try:
        return _write(decide, using=using, now=now)
    except Exception as error:  # noqa: BLE001 - a subscriber may raise anything; one row must not stop the others
        return _apart(events, error, using=using, now=now)


def _apart(events: Sequence[Event], error: Exception, *, using: str, now: datetime) -> tuple[int, list[EventDelivery]]:
    """Look at each row by itself, now that they could not be settled together; give up one that is alone already."""
    if len(events) == 1:
        return _give_up(events[0], error, using=using, now=now)
    occurred, due = 0, []
    for event in _unchanged(events, using=using):
        count, more = look_at([event], using=using)
        occurred += count
        due += more
    return occurred, due


def _contradicts_row(decision: Decision) -> bool:
    """Return whether the entity is otherwise than its last save said, so that something bypassed the saves."""
    event, state = decision.event, decision.change.state
    if event is None or decision.declared is None or decision.retires:
        return False
    return event.at != state.at or (bool(event.condition_held) and state.condition_held is False)


def _held(events: Sequence[Event], *, using: str) -> list[Event]:
    """Hold the entities of these rows against saves, and read the rows again.

    A save that changes nothing does not count the revision up, so a decision made before it could overwrite what it
    saw, and the row would be wrong until the next save. Rows whose entity is being saved just now are put off for a
    moment.
    """
    now = wiring.clock.now()
    rows = Event.objects.using(using).due(now).filter(pk__in=[event.pk for event in events])
    events = list(unheld(rows, using=using))
    free = hold_entities({event.pk: (event.entity_type, event.entity_id) for event in events}, using=using)
    if busy := [event.pk for event in events if event.pk not in free]:
        rows.filter(pk__in=busy).update(next_at=now + BUSY, revision=F("revision") + 1)
    return [event for event in events if event.pk in free]


def _judge(events: Sequence[Event], *, using: str, now: datetime) -> list[Decision]:
    fresh = read_for(events, using=using)
    return [
        _decide(
            event,
            definitions_for(event.entity_type, event.event_name),
            fresh.get((event.entity_type, event.entity_id)),
            using=using,
            now=now,
        )
        for event in events
    ]


def _decide(event: Event, declared: Declared | None, fresh: Fresh | None, *, using: str, now: datetime) -> Decision:
    if declared is None:
        return Decision(declared=None, entity_id=event.entity_id, event=event, change=_postponed(event, now=now))
    if fresh is None:
        return retire(event, entity_data=None)
    existing = state_of(event)
    seen = snapshot(declared, fresh, using=using)
    change = judge(seen, existing, now)
    decision = Decision(declared=declared, entity_id=event.entity_id, event=event, change=change)
    if change.verb is Verb.OCCUR:
        try:
            decision.carried = carry(declared, fresh.instance, using=using)
        except Exception as error:  # noqa: BLE001 - a user's payload may raise anything; the event is parked
            decision.change = judge(with_failure(seen, error), existing, now)
    return decision


def _postponed(event: Event, *, now: datetime) -> Change:
    """Leave a row whose definition this process does not have to one that does; it may be from a newer release."""
    why = "its definition is not in the code of the process that checked it; sync_events withdraws it if it is gone"
    return Change(verb=Verb.AMEND, state=replace(state_of(event), next_at=now + conf().missing_grace, why=why))


def _write(decide: Callable[[], Sequence[Decision]], *, using: str, now: datetime) -> tuple[int, list[EventDelivery]]:
    with transaction.atomic(using=using):
        decisions = decide()
        names = ", ".join(decision.event.event_name for decision in decisions if decision.event is not None)
        due = carry_out(decisions, using=using, now=now)
        fault("event.before_commit", names)
    fault("event.after_commit", names)
    return sum(decision.change.verb is Verb.OCCUR for decision in decisions), due


def _unheld(decisions: Sequence[Decision], *, using: str) -> list[Decision]:
    """Return the decisions about rows that nobody else is at, and hold these rows."""
    if not can_skip(using):
        return list(decisions)
    rows = Event.objects.using(using).filter(pk__in=[one.event.pk for one in decisions if one.event is not None])
    held = set(unheld(rows, using=using).values_list("pk", flat=True))
    return [decision for decision in decisions if decision.event is not None and decision.event.pk in held]


def _unchanged(events: Iterable[Event], *, using: str) -> list[Event]:
    """Read again those that are still due."""
    rows = Event.objects.using(using).due(wiring.clock.now())
    return list(rows.filter(pk__in=[event.pk for event in events]))


def _give_up(event: Event, error: Exception, *, using: str, now: datetime) -> tuple[int, list[EventDelivery]]:
    """Leave one row for a while; it says why, and the others go on."""
    if isinstance(error, StaleEvent):
        return 0, []
    logger.error("Event %s could not be settled.", event.pk, exc_info=error, extra={"event_id": str(event.pk)})
    fresh = Event.objects.using(using).filter(pk=event.pk, status=EventStatus.PENDING).first()
    if fresh is not None:
        text = failure_text(error)
        values = {"next_at": now + conf().missing_grace, "why": "settling it failed; tried again", "error": text}
        try:
            with transaction.atomic(using=using):
                update_rows({fresh: values}, using=using)
        except StaleEvent:
            pass
    return 0, []
