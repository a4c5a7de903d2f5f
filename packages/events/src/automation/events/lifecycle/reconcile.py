"""What a row of an event becomes, decided from plain values.

The shell reads rows, asks here what the entity's state makes of them, and writes what it is told. What a person or a
deploy does to a row, whatever its entity says (cancelling, marking, retiring, withdrawing), is decided beside the code
that does it; every change of status goes through `transitions`. Two questions are answered:

- `reconcile`: a save, a sync or a fresh look shows the entity as it is now. What must its row say?
- `judge`: the row is due and the entity was read afresh. Does it occur?
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from automation.events.lifecycle.status import EventStatus
from automation.events.lifecycle.transitions import Cause, advance

__all__ = [
    "CONDITION_FAILED",
    "CONDITION_FALSE",
    "NO_DATE",
    "Change",
    "News",
    "Snapshot",
    "State",
    "Verb",
    "earlier",
    "judge",
    "later",
    "reconcile",
]

NO_DATE: Final = "has no date"
CONDITION_FALSE: Final = "condition is false"
RETURNED: Final = "its date went back before that time had come, so it is no new occurrence"
CONDITION_FAILED: Final = "parked: its condition, date or payload raised"


class Verb(StrEnum):
    """What is to be done with the row."""

    KEEP = "keep"
    INSERT = "insert"
    AMEND = "amend"
    REARM = "rearm"
    """Make the row history and insert a new one with the next generation."""
    OCCUR = "occur"


class News(StrEnum):
    """What subscribers are told."""

    ARMED = "armed"
    MOVED = "moved"
    DISARMED = "disarmed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    OCCURRED = "occurred"
    CANCELLED = "cancelled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the definition says, and what its entity looks like now."""

    scheduled: bool
    at: datetime | None = None
    """The entity's date, aware UTC; None for immediate events and cleared dates."""
    holds: bool = True
    """Whether the condition holds. False when it could not be judged; `failure` then says why."""
    failure: str = ""
    repeat: bool = False
    late: timedelta | None = None
    """How long after `at` a condition that came true late still counts; None: for ever."""
    late_limit: timedelta = timedelta(hours=24)
    """How old a date may be when it is first seen."""
    held_before: bool | None = None
    """The truth at the last commit, when the stored one was already overwritten by this transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The part of a row that is decided here."""

    status: EventStatus = EventStatus.PENDING
    at: datetime | None = None
    next_at: datetime | None = None
    """When the system must look; None when only a save can change matters."""
    generation: int = 1
    previous_at: datetime | None = None
    """The date at which the event occurred last, before it was armed again; None when it never has."""
    condition_held: bool | None = None
    found_false_at: datetime | None = None
    """When it was due and first found false; from then on `late` counts."""
    why: str = ""
    """Why it is not moving, in words; empty when nothing is in its way."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision: what to do with the row, what it says then, and what subscribers are told."""

    verb: Verb
    state: State
    news: tuple[News, ...] = ()
    rescheduled: bool = False
    """The date of an event that is still ahead has changed."""


def reconcile(snapshot: Snapshot, existing: State | None, now: datetime) -> Change:
    """Decide what the row must say, given the entity as it is now. `existing` is None when there is no current row."""
    if existing is None:
        state = _first_state(snapshot, generation=1, now=now)
        return Change(verb=Verb.INSERT, state=state, news=_armed(snapshot, state))
    if existing.status is not EventStatus.PENDING:
        return _settled(snapshot, existing, now)
    if not snapshot.scheduled:
        return _immediate(snapshot, existing, now)
    if snapshot.at != existing.at and not _date_unknown(snapshot):
        return _moved(snapshot, existing, now)
    return _same_date(snapshot, existing, now)


def judge(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    """Decide about a pending row whose `next_at` has come, from a freshly read entity."""
    moved = snapshot.scheduled and snapshot.at != existing.at and not _date_unknown(snapshot)
    if existing.status is not EventStatus.PENDING or moved:
        return reconcile(snapshot, existing, now)
    if snapshot.scheduled and (existing.at is None or existing.at > now):
        return _amend(existing, replace(existing, next_at=existing.at))
    if _bound_passed(snapshot, existing, now):
        return _expire(existing, existing.at, "its condition was still false when the bound set by `late` had passed")
    if not snapshot.holds:
        return _amend(existing, _held_back(snapshot, existing, now))
    state = replace(
        existing,
        status=advance(existing.status, Cause.FULFILLED),
        next_at=None,
        condition_held=True,
        why="",
        error="",
    )
    return Change(verb=Verb.OCCUR, state=state, news=(News.OCCURRED,))


def later(moment: datetime, by: timedelta) -> datetime:
    """Return `moment + by`, or the last representable instant where that lies beyond it (dates of the year 9999)."""
    try:
        return moment + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if by > timedelta(0) else datetime.min.replace(tzinfo=UTC)


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return `moment - by`, or the first representable instant where that lies before it."""
    return later(moment, -by)


def _first_state(snapshot: Snapshot, *, generation: int, now: datetime) -> State:
    blank = State(generation=generation, condition_held=snapshot.holds, error=snapshot.failure)
    if not snapshot.scheduled:
        return replace(blank, next_at=now if snapshot.holds else None, why=_obstacle(snapshot))
    if snapshot.at is None:
        return replace(blank, why=CONDITION_FAILED if snapshot.failure else NO_DATE)
    if snapshot.at < earlier(now, snapshot.late_limit):
        return replace(
            blank,
            at=snapshot.at,
            status=advance(EventStatus.PENDING, Cause.EXPIRED),
            why=_too_old(snapshot),
        )
    return replace(blank, at=snapshot.at, next_at=snapshot.at, why=_obstacle(snapshot) if snapshot.failure else "")


def _armed(snapshot: Snapshot, state: State) -> tuple[News, ...]:
    ahead = state.status is EventStatus.PENDING and not (snapshot.scheduled and state.at is None)
    return (News.ARMED,) if ahead else ()


def _settled(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    """Decide about a row that has a final status: arm a new generation, follow a corrected date, or leave it."""
    if not snapshot.scheduled:
        return _settled_immediate(snapshot, existing, now)
    if snapshot.at is None or snapshot.at == existing.at:
        return _keep(existing)
    counts = snapshot.at > now or _expired_by_mistake(snapshot, existing, now)
    if counts and snapshot.at != _last_occurrence(existing, now):
        return _rearm(snapshot, existing, now)
    state = replace(existing, at=snapshot.at)
    news = (News.MOVED,) if existing.status is EventStatus.OCCURRED else ()
    return Change(verb=Verb.AMEND, state=state, news=news)


def _settled_immediate(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    if not snapshot.repeat or snapshot.failure:
        return _keep(existing)
    before = existing.condition_held if snapshot.held_before is None else snapshot.held_before
    if snapshot.holds and before is False:
        return _rearm(snapshot, existing, now)
    return _amend(existing, replace(existing, condition_held=snapshot.holds))


def _expired_by_mistake(snapshot: Snapshot, existing: State, now: datetime) -> bool:
    """Return whether a date that was too old has been corrected to one that still counts."""
    assert snapshot.at is not None
    return existing.status is EventStatus.EXPIRED and snapshot.at >= earlier(now, snapshot.late_limit)


def _rearm(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    state = replace(
        _first_state(snapshot, generation=existing.generation + 1, now=now),
        previous_at=_last_occurrence(existing, now) if snapshot.scheduled else None,
    )
    return Change(verb=Verb.REARM, state=state, news=(News.SUPERSEDED, *_armed(snapshot, state)))


def _last_occurrence(existing: State, now: datetime) -> datetime | None:
    """Return the date at which the event occurred last; one that was marked without a date did so before now."""
    return existing.at or now if existing.status is EventStatus.OCCURRED else existing.previous_at


def _immediate(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    next_at = (existing.next_at or now) if snapshot.holds else None
    return _amend(
        existing,
        replace(
            existing,
            next_at=next_at,
            condition_held=snapshot.holds,
            why=_obstacle(snapshot),
            error=snapshot.failure,
        ),
    )


def _moved(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    """Follow a changed date of an event that is still ahead."""
    if snapshot.at is None:
        return _disarm(snapshot, existing)
    if _returned(snapshot, existing, now):
        state = replace(
            existing, status=advance(existing.status, Cause.RETURNED), at=snapshot.at, next_at=None, why=RETURNED
        )
        return Change(verb=Verb.AMEND, state=state, news=(News.CANCELLED,))
    if snapshot.at < earlier(now, snapshot.late_limit) and not _came(existing, now):
        return _expire(existing, snapshot.at, _too_old(snapshot))
    state = State(
        status=advance(existing.status, Cause.MOVED),
        at=snapshot.at,
        next_at=snapshot.at,
        generation=existing.generation,
        previous_at=existing.previous_at,
        condition_held=snapshot.holds,
        why=_obstacle(snapshot) if snapshot.failure else "",
        error=snapshot.failure,
    )
    news = News.ARMED if existing.at is None else News.MOVED
    return Change(verb=Verb.AMEND, state=state, news=(news,), rescheduled=True)


def _returned(snapshot: Snapshot, existing: State, now: datetime) -> bool:
    """Return whether an event that was armed again is not to occur again after all.

    Only its last date counts, not the way there: the one at which it has occurred arms nothing, nor does any other that
    is past. It does occur when the time for which it was armed again has come, and only the processor was late.
    """
    if existing.previous_at is None or snapshot.at is None:
        return False
    return snapshot.at == existing.previous_at or (snapshot.at <= now and not _came(existing, now))


def _came(existing: State, now: datetime) -> bool:
    """Return whether its time has come and only the processor is late: it is owed, whatever its date is made to say."""
    return existing.at is not None and existing.at <= now


def _disarm(snapshot: Snapshot, existing: State) -> Change:
    """Take the date away. The generation goes up: armed again, it is a new occurrence for whoever follows it."""
    state = State(
        status=advance(existing.status, Cause.DISARMED),
        generation=existing.generation + 1,
        previous_at=existing.previous_at,
        condition_held=snapshot.holds,
        why=NO_DATE,
        error=snapshot.failure,
    )
    return Change(verb=Verb.AMEND, state=state, news=(News.DISARMED,), rescheduled=True)


def _expire(existing: State, at: datetime | None, why: str) -> Change:
    state = replace(existing, status=advance(existing.status, Cause.EXPIRED), at=at, next_at=None, why=why)
    news = () if existing.at is None else (News.EXPIRED,)
    return Change(verb=Verb.AMEND, state=state, news=news)


def _same_date(snapshot: Snapshot, existing: State, now: datetime) -> Change:
    if existing.at is None:
        why = CONDITION_FAILED if snapshot.failure else NO_DATE
        return _amend(
            existing, replace(existing, condition_held=snapshot.holds, why=why, error=snapshot.failure, next_at=None)
        )
    if _bound_passed(snapshot, existing, now):
        return _expire(existing, existing.at, "its condition came true after the bound set by `late`")
    state = replace(existing, condition_held=snapshot.holds, error=snapshot.failure)
    waits_for_a_save = existing.found_false_at is not None or (existing.next_at is None and existing.at <= now)
    if waits_for_a_save and snapshot.holds:
        already_due = existing.next_at is not None and existing.next_at <= now
        # True in time, it is owed: the processor's own lateness counts for nothing.
        state = replace(state, next_at=existing.next_at if already_due else now, found_false_at=None, why="")
    elif waits_for_a_save:
        state = replace(state, next_at=_bound(snapshot, existing), why=_obstacle(snapshot))
    else:
        state = replace(state, next_at=existing.at, why=_obstacle(snapshot) if snapshot.failure else "")
    turned_true = snapshot.holds and existing.condition_held is False
    return _amend(existing, state, news=(News.MOVED,) if turned_true else ())


def _held_back(snapshot: Snapshot, existing: State, now: datetime) -> State:
    counts = snapshot.scheduled and not snapshot.failure
    seen = existing.found_false_at or (now if counts else None)
    state = replace(
        existing,
        status=advance(existing.status, Cause.HELD_BACK),
        condition_held=False,
        found_false_at=seen,
        why=_obstacle(snapshot),
        error=snapshot.failure,
    )
    bound = _bound(snapshot, existing)
    return replace(state, next_at=bound if bound is not None and bound > now else None)


def _bound(snapshot: Snapshot, existing: State) -> datetime | None:
    """Return the instant after which the condition may no longer come true, if there is one."""
    if snapshot.late is None or existing.at is None:
        return None
    return later(existing.at, snapshot.late)


def _bound_passed(snapshot: Snapshot, existing: State, now: datetime) -> bool:
    """Return whether it was false at its time and stayed so until the bound; an outage alone never expires it."""
    bound = _bound(snapshot, existing)
    return existing.found_false_at is not None and bound is not None and now >= bound


def _date_unknown(snapshot: Snapshot) -> bool:
    """Return whether the date itself could not be read; a failed condition leaves the date known."""
    return bool(snapshot.failure) and snapshot.at is None


def _obstacle(snapshot: Snapshot) -> str:
    if snapshot.failure:
        return CONDITION_FAILED
    return "" if snapshot.holds else CONDITION_FALSE


def _too_old(snapshot: Snapshot) -> str:
    return f"its date was already more than {snapshot.late_limit} old when first seen"


def _keep(existing: State) -> Change:
    return Change(verb=Verb.KEEP, state=existing)


def _amend(existing: State, state: State, *, news: tuple[News, ...] = ()) -> Change:
    if state == existing:
        return _keep(existing)
    return Change(verb=Verb.AMEND, state=state, news=news)
