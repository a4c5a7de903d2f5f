"""One look at one database: owed calls and due events, oldest first and in batches; then a hint for the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Min, Model, Q, QuerySet, Value
from django.db.models.functions import Greatest

from automation.events.announcing import RELAY
from automation.events.callbacks import EventPhase, callback_registry
from automation.events.conf import conf
from automation.events.declaring import catch_up
from automation.events.delivering import deliver
from automation.events.inline import is_handed_over, postponed
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.models import Event, EventDelivery
from automation.events.moments import InstantField
from automation.events.occurring import BUSY, look_at
from automation.events.ports.wiring import wiring

logger = logging.getLogger("automation.events")

__all__ = ["Tally", "next_due", "poll"]

Stop = Callable[[], bool]
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one look did."""

    found: int = 0
    occurred: int = 0
    delivered: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            found=self.found + other.found,
            occurred=self.occurred + other.occurred,
            delivered=self.delivered + other.delivered,
        )


def poll(*, using: str, stop: Stop = lambda: False) -> Tally:
    """Let everything due on this database happen."""
    unfinished = _catch_up(using=using)
    _take_back_parked(using=using)
    # Calls owed before an event come before it, those it wakes come after it.
    tally = _make_calls(using=using, stop=stop)
    tally += _let_occur(using=using, stop=stop)
    tally += _make_calls(using=using, stop=stop)
    _hint(using=using, at_once=unfinished, idle=tally == Tally(found=tally.found))
    return tally


def next_due(*, using: str) -> datetime | None:
    """Return when the next event or call is due on this database."""
    events = Event.objects.using(using).filter(status=EventStatus.PENDING)
    deliveries = EventDelivery.objects.using(using).filter(status=DeliveryStatus.PENDING)
    times = [_earliest(events), _earliest(deliveries)]
    return min((moment for moment in times if moment is not None), default=None)


def _catch_up(*, using: str) -> bool:
    try:
        return catch_up(using=using)
    except Exception:  # a subscriber may raise anything; what is due must not wait for what a deploy changed
        logger.exception("Could not create what the new code declares; the next poll tries again.")
        return False


def _let_occur(*, using: str, stop: Stop) -> Tally:
    tally = Tally()
    for events in _due(Event.objects.using(using).filter(status=EventStatus.PENDING)):
        with postponed():
            occurred, due = look_at(events, using=using)
        delivered, stopped = deliver([one for one in due if not is_handed_over(one)], using=using, stop=stop)
        tally += Tally(found=len(events), occurred=occurred, delivered=delivered)
        if stopped or stop():
            break
    return tally


def _make_calls(*, using: str, stop: Stop) -> Tally:
    tally = Tally()
    owed = EventDelivery.objects.using(using).select_related("event").filter(status=DeliveryStatus.PENDING)
    for deliveries in _due(owed):
        made, stopped = deliver(deliveries, using=using, stop=stop)
        tally += Tally(delivered=made)
        if stopped or stop():
            break
    return tally


def _due(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """Yield the rows due now in batches, oldest first; each row at most once, so that none can keep us here."""
    now = wiring.clock.now()
    due = rows.filter(next_at__lte=now).order_by("next_at", "id")
    size = conf().batch
    batch: list[Any] = list(due[:size])
    while batch:
        last = batch[-1]
        reached = Q(next_at__gt=last.next_at) | Q(next_at=last.next_at, id__gt=last.id)
        # The second bound is implied by the first, in a form for which the index has a starting point.
        rest = due.filter(reached, next_at__gte=last.next_at)
        yield batch
        batch = list(rest[:size]) if len(batch) == size else []


def _take_back_parked(*, using: str) -> None:
    """Let calls that waited for their callback go on, now that this process has it."""
    now = wiring.clock.now()
    parked = EventDelivery.objects.using(using).filter(_known_here(), status=DeliveryStatus.PARKED)
    parked.update(status=DeliveryStatus.PENDING, next_at=Greatest("due_at", Value(now, InstantField())), why="")


def _known_here() -> Q:
    """Return which calls this process can make, as `delivering` finds them: else they would be parked again at once."""
    known = Q(phase=RELAY, callback__in=[subscriber.name for subscriber in wiring.subscribers])
    names: dict[EventPhase, set[str]] = {}
    for one in callback_registry.all():
        names.setdefault(one.phase, set()).add(one.name)
        if one.offset < timedelta(0):
            known |= Q(phase=one.phase, callback=one.name, offset=one.offset)
    for phase, some in names.items():
        known |= Q(phase=phase, callback__in=sorted(some)) & (Q(offset__gte=timedelta(0)) | Q(attempts__gt=0))
    return known


def _hint(*, using: str, at_once: bool, idle: bool) -> None:
    """Set a timer for the next thing due, if it is near enough for one.

    What is due and could not be done by this look, which did nothing else, is held by somebody: give them a moment.
    """
    dispatcher = wiring.dispatcher
    if dispatcher is None or not dispatcher.horizon:
        return
    now = wiring.clock.now()
    moment = now if at_once else next_due(using=using)
    if moment is not None and moment <= now and idle and not at_once:
        moment = now + BUSY
    if moment is not None and moment <= now + dispatcher.horizon:
        dispatcher.hint(max(moment, now), using=using)


def _earliest(rows: QuerySet[Any]) -> datetime | None:
    moment: datetime | None = rows.aggregate(first=Min("next_at"))["first"]
    return moment
