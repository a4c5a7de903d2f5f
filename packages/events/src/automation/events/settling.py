"""Carrying decisions out: rows, deliveries, subscribers, hints and what follows the commit, in one transaction.

Everything that changes a stored event goes through `carry_out`, in the order of locks: entity, event, deliveries, runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from automation.events import deliveries, inline
from automation.events.announcing import ENDINGS, Announcement, announce, announcements
from automation.events.callbacks import EventPhase
from automation.events.lifecycle.reconcile import Change, News, State, Verb
from automation.events.lifecycle.status import EventStatus
from automation.events.lifecycle.transitions import Cause, advance
from automation.events.models import Event, EventDelivery
from automation.events.ports.dispatcher import Gathering
from automation.events.ports.wiring import wiring
from automation.events.registry import Declared, definitions_for
from automation.events.rows import insert_rows, new_row, state_of, update_rows, values_of
from automation.events.snapshots import Carried
from automation.events.transactions import memory

__all__ = ["Decision", "carry_out", "retire"]


@dataclass(slots=True, kw_only=True)
class Decision:
    """What was decided about one row: a value on its way from the lifecycle to the database."""

    declared: Declared | None
    entity_id: str
    event: Event | None
    change: Change
    carried: Carried = field(default_factory=Carried)
    retires: bool = False
    """The row becomes history: its entity is gone."""
    entity_data: dict[str, Any] | None = None
    quiet: bool = False
    """No callback hears of the cancellation: the definition itself is gone."""


@dataclass(slots=True, kw_only=True)
class _Outcome:
    """A decision with the rows that came of it."""

    decision: Decision
    before: State | None
    """What the row said; None for a new one."""
    old: Event | None
    new: Event | None

    @property
    def event(self) -> Event:
        """The row that is current after the change."""
        event = self.new or self.old
        assert event is not None
        return event

    @property
    def news(self) -> tuple[News, ...]:
        return self.decision.change.news


def carry_out(decisions: Iterable[Decision], *, using: str, now: datetime) -> list[EventDelivery]:
    """Write what was decided, and return the deliveries that are due at once.

    Call it inside a transaction. Raises `StaleEvent` when a row was changed since it was read, and IntegrityError when
    a current row appeared where none was: the caller rolls back to before this call and looks again.
    """
    effective = [decision for decision in decisions if decision.change.verb is not Verb.KEEP or decision.retires]
    if not effective:
        return []
    outcomes = _write_rows(effective, using=using, now=now)
    due = _write_deliveries(outcomes, using=using, now=now)
    with _together():
        announce([one for outcome in outcomes for one in _told(outcome)], using=using)
        _follow_up(outcomes, due, using=using, now=now)
    return due


def retire(event: Event, *, entity_data: dict[str, Any] | None) -> Decision:
    """Decide about the current row of an entity that is gone: what is pending is cancelled, all becomes history."""
    before = state_of(event)
    pending = before.status is EventStatus.PENDING
    status = advance(before.status, Cause.DELETED) if pending else before.status
    state = State(
        status=status,
        at=before.at,
        generation=before.generation,
        previous_at=before.previous_at,
        condition_held=before.condition_held,
        found_false_at=before.found_false_at,
        why="its entity was deleted" if pending else before.why,
        error=before.error,
    )
    told = pending or before.status is EventStatus.OCCURRED
    return Decision(
        declared=definitions_for(event.entity_type, event.event_name),
        entity_id=event.entity_id,
        event=event,
        change=Change(verb=Verb.AMEND, state=state, news=(News.DELETED,) if told else ()),
        retires=True,
        entity_data=entity_data if pending else None,
    )


def _write_rows(decisions: Sequence[Decision], *, using: str, now: datetime) -> list[_Outcome]:
    outcomes, changes, new = [], {}, []
    for decision in decisions:
        old, change = decision.event, decision.change
        before = None if old is None else state_of(old)
        made = None
        if change.verb in (Verb.INSERT, Verb.REARM):
            assert decision.declared is not None
            made = new_row(decision.declared, decision.entity_id, change.state, using=using, now=now)
            new.append(made)
        if old is not None:
            changes[old] = _columns(decision, before, now=now)
        outcomes.append(_Outcome(decision=decision, before=before, old=old, new=made))
    update_rows(changes, using=using)
    insert_rows(new, using=using)
    return outcomes


def _columns(decision: Decision, before: State | None, *, now: datetime) -> dict[str, Any]:
    if decision.change.verb is Verb.REARM:
        settled_at = None if decision.event is None else decision.event.settled_at
        return {"current_key": None, "updated_at": now, "settled_at": settled_at or now}
    values = values_of(decision.change.state, before=before, now=now)
    if decision.change.verb is Verb.OCCUR:
        values |= {"payload": decision.carried.payload, "about": decision.carried.about}
    if decision.retires:
        values |= {"current_key": None, "entity_data": decision.entity_data}
        values.setdefault("settled_at", (decision.event and decision.event.settled_at) or now)
    return values


def _write_deliveries(outcomes: Sequence[_Outcome], *, using: str, now: datetime) -> list[EventDelivery]:
    deliveries.move_unbegun(_moved(outcomes), using=using)
    deliveries.wake_ahead(_turned_true(outcomes), using=using, now=now)
    deliveries.cancel_unbegun(_ended(outcomes), using=using, now=now)
    made = [one for outcome in outcomes for one in _owed(outcome, using=using, now=now)]
    missing = [one for outcome in outcomes for one in _perhaps_missing(outcome, now=now)]
    made = [*missing, *made]
    deliveries.write(made, using=using, may_exist=bool(missing))
    return [one for one in made if one.next_at is not None and one.next_at <= now]


def _owed(outcome: _Outcome, *, using: str, now: datetime) -> list[EventDelivery]:
    event, change = outcome.event, outcome.decision.change
    made: list[EventDelivery] = []
    if outcome.new is not None and event.status == EventStatus.PENDING:
        made += deliveries.owed(event, EventPhase.CREATED, now=now)
    if change.rescheduled and _first_move(event, using=using):
        made += deliveries.owed(event, EventPhase.RESCHEDULED, now=now)
    if News.ARMED in change.news and event.at is not None and event.at > now:
        made += deliveries.ahead(event, now=now)
    if News.OCCURRED in change.news:
        made += deliveries.owed_at_occurrence(event, now=now)
    was_pending = outcome.before is not None and outcome.before.status is EventStatus.PENDING
    if was_pending and event.status == EventStatus.CANCELLED and not outcome.decision.quiet:
        made += deliveries.owed(event, EventPhase.CANCELLED, now=now)
    for one in (outcome.old, outcome.new):
        if one is not None:
            told = [told for told in _told(outcome) if told.occurrence.event_id == one.id]
            made += deliveries.relays(one, told, using=using, now=now)
    return made


def _perhaps_missing(outcome: _Outcome, *, now: datetime) -> list[EventDelivery]:
    """Return calls ahead of an event that exist only if it was armed in time; making them again changes nothing."""
    event, before = outcome.event, outcome.before
    if News.OCCURRED in outcome.news:
        return deliveries.missed_ahead(event, now=now)
    late = before is not None and before.at is not None and before.at <= now
    if News.MOVED in outcome.news and late and event.at is not None and event.at > now:
        return deliveries.ahead(event, now=now)
    return []


def _first_move(event: Event, *, using: str) -> bool:
    """Return whether this transaction moves the event for the first time: many moves in one commit are one."""
    first: int = memory(using).setdefault(("moved", event.id), event.revision)
    if first == event.revision:
        return True
    # The first move may have been rolled back with its savepoint; then this one is the first that stays.
    return not deliveries.is_told_of_move(event, since=first, using=using)


def _moved(outcomes: Iterable[_Outcome]) -> list[Event]:
    return [
        outcome.event
        for outcome in outcomes
        if News.MOVED in outcome.news and outcome.before is not None and outcome.before.at != outcome.event.at
    ]


def _turned_true(outcomes: Iterable[_Outcome]) -> list[Event]:
    return [
        outcome.event
        for outcome in outcomes
        if News.OCCURRED in outcome.news
        or (News.MOVED in outcome.news and outcome.before is not None and outcome.before.at == outcome.event.at)
    ]


def _ended(outcomes: Iterable[_Outcome]) -> dict[Event, str]:
    return {
        outcome.old: ENDINGS[news]
        for outcome in outcomes
        for news in outcome.news
        if news in ENDINGS and outcome.old is not None
    }


def _told(outcome: _Outcome) -> list[Announcement]:
    told: list[Announcement] = []
    for news in outcome.news:
        about_old = outcome.old if news in ENDINGS else outcome.event
        if about_old is not None:
            told += announcements(about_old, [news], before=outcome.before)
    return told


def _together() -> AbstractContextManager[None]:
    """Let all hints of this change go out as one, those of subscribers included, where the dispatcher can."""
    dispatcher = wiring.dispatcher
    return dispatcher.together() if isinstance(dispatcher, Gathering) else nullcontext()


def _follow_up(outcomes: Sequence[_Outcome], due: Sequence[EventDelivery], *, using: str, now: datetime) -> None:
    """Arrange for what is due now, and hint at what will be due soon."""
    current = [outcome.event for outcome in outcomes if outcome.event.status == EventStatus.PENDING]
    immediate = [event for event in current if event.is_immediate and event.next_at is not None]
    handed_over = [one.id for one in due if inline.is_handed_over(one)]
    if handed_over and wiring.dispatcher is not None:
        wiring.dispatcher.deliver(handed_over, using=using)
    inline.after_commit(
        events=[event.id for event in immediate],
        deliveries=[one.id for one in due if one.id not in set(handed_over)],
        told=_signals(outcomes),
        using=using,
    )
    times = [event.next_at for event in current if event.next_at is not None and not event.is_immediate]
    _hint(times, outcomes, using=using, now=now)


def _hint(times: list[datetime], outcomes: Sequence[_Outcome], *, using: str, now: datetime) -> None:
    dispatcher = wiring.dispatcher
    if dispatcher is None or not dispatcher.horizon:
        return
    for outcome in outcomes:
        if News.ARMED in outcome.news or News.MOVED in outcome.news or News.OCCURRED in outcome.news:
            times += deliveries.due_times(outcome.event, now=now)
    near = [moment for moment in times if moment <= now + dispatcher.horizon]
    if near:
        dispatcher.hint(max(min(near), now), using=using)


def _signals(outcomes: Iterable[_Outcome]) -> list[inline.Told]:
    told = []
    for outcome in outcomes:
        was_pending = outcome.before is not None and outcome.before.status is EventStatus.PENDING
        if News.OCCURRED in outcome.news:
            told.append(inline.Told(event=outcome.event, occurred=True))
        elif was_pending and outcome.event.status == EventStatus.CANCELLED:
            told.append(inline.Told(event=outcome.event, occurred=False))
    return told
