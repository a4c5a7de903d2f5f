"""Settling an event by hand, whatever its date and condition say."""

from __future__ import annotations

from django.db import transaction

from automation.events.lifecycle.reconcile import Change, News, State, Verb
from automation.events.lifecycle.status import EventStatus
from automation.events.lifecycle.transitions import Cause, advance
from automation.events.models import Event
from automation.events.ports.wiring import wiring
from automation.events.rows import state_of
from automation.events.settling import Decision, carry_out
from automation.events.snapshots import Carried, carry

__all__ = ["cancel", "mark_as_occurred"]


def cancel(event: Event) -> bool:
    """Cancel a pending event; return whether this call did it."""
    return _settle(event, Cause.CANCELLED, News.CANCELLED, why="cancelled by event.cancel()")


def mark_as_occurred(event: Event) -> bool:
    """Let a pending event occur now; return whether this call did it."""
    return _settle(event, Cause.MARKED, News.OCCURRED, why="")


def _settle(event: Event, cause: Cause, news: News, *, why: str) -> bool:
    using = event._state.db or "default"
    with transaction.atomic(using=using):
        row = Event.objects.using(using).select_for_update().filter(pk=event.pk).first()
        if row is None or row.status != EventStatus.PENDING:
            return False
        before = state_of(row)
        state = State(
            status=advance(before.status, cause),
            at=before.at,
            generation=before.generation,
            previous_at=before.previous_at,
            condition_held=before.condition_held,
            why=why,
        )
        declared, carried = row.definition, Carried()
        if cause is Cause.MARKED and declared is not None and row.entity is not None:
            carried = carry(declared, row.entity, using=using)
        verb = Verb.OCCUR if cause is Cause.MARKED else Verb.AMEND
        decision = Decision(
            declared=declared,
            entity_id=row.entity_id,
            event=row,
            change=Change(verb=verb, state=state, news=(news,)),
            carried=carried,
        )
        carry_out([decision], using=using, now=wiring.clock.now())
    event.refresh_from_db(using=using)
    return True
