"""Telling subscribers, in the transaction that changes the rows; across databases by a delivery beside the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from automation.events.lifecycle.reconcile import News, State
from automation.events.ports.subscriber import Deriving, Occurrence, Subscriber
from automation.events.ports.wiring import wiring

if TYPE_CHECKING:
    from automation.events.models import Event

__all__ = [
    "ENDINGS",
    "RELAY",
    "Announcement",
    "announce",
    "announcements",
    "foreign_subscribers",
    "packed",
    "relay",
    "tell",
]

RELAY = "relay"
"""The phase of deliveries that carry a change to a subscriber on another database."""

ENDINGS: Mapping[News, str] = {
    News.DISARMED: "disarmed",
    News.EXPIRED: "expired",
    News.SUPERSEDED: "superseded",
    News.CANCELLED: "cancelled",
    News.DELETED: "deleted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One piece of news about one occurrence."""

    news: News
    occurrence: Occurrence
    again: bool = False
    """Nothing happened to it: it was announced before, and the code has changed since."""


def occurrence_of(event: Event, *, at: datetime | None, generation: int) -> Occurrence:
    """Return an event as plain values."""
    return Occurrence(
        event_id=event.id,
        event_name=event.event_name,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        at=at,
        generation=generation,
        occurred_at=event.occurred_at,
        payload=event.payload,
        about=tuple((kind, key) for kind, key in event.about or ()),
    )


def announcements(
    event: Event, news: Sequence[News], *, before: State | None, again: bool = False
) -> list[Announcement]:
    """Return the announcements for a row that was just written; what ended is described as it was before."""
    told = []
    for one in news:
        ended = one in ENDINGS and before is not None
        at, generation = (before.at, before.generation) if ended and before else (event.at, event.generation)
        told.append(Announcement(news=one, occurrence=occurrence_of(event, at=at, generation=generation), again=again))
    return told


def announce(told: Sequence[Announcement], *, using: str) -> None:
    """Tell every subscriber that writes to this database, at most once per kind of news."""
    for subscriber in wiring.subscribers:
        if told and subscriber.alias in (None, using):
            tell(subscriber, told, using=using)


def foreign_subscribers(using: str) -> list[Subscriber]:
    """Return the subscribers that write to another database than `using`."""
    return [one for one in wiring.subscribers if one.alias not in (None, using)]


def tell(subscriber: Subscriber, told: Sequence[Announcement], *, using: str) -> None:
    """Tell one subscriber; what ended comes first, or its replacement would meet it at the unique key."""
    for news, reason in ENDINGS.items():
        if ended := _of(told, news):
            subscriber.ended(ended, reason=reason, using=using)
    if armed := [one.occurrence for one in told if one.news is News.ARMED and not one.again]:
        subscriber.armed(armed, using=using)
    if again := [one.occurrence for one in told if one.news is News.ARMED and one.again]:
        (subscriber.derived if isinstance(subscriber, Deriving) else subscriber.armed)(again, using=using)
    if moved := _of(told, News.MOVED):
        subscriber.moved(moved, using=using)
    if occurred := _of(told, News.OCCURRED):
        subscriber.occurred(occurred, using=using)


def packed(one: Announcement) -> dict[str, Any]:
    """Return an announcement as JSON, for the delivery that carries it to another database."""
    it = one.occurrence
    return {
        "news": str(one.news),
        "again": one.again,
        "event_id": str(it.event_id),
        "event_name": it.event_name,
        "entity_type": it.entity_type,
        "entity_id": it.entity_id,
        "at": it.at and it.at.isoformat(),
        "generation": it.generation,
        "occurred_at": it.occurred_at and it.occurred_at.isoformat(),
        "payload": it.payload,
        "about": [list(pair) for pair in it.about],
    }


def relay(subscriber: Subscriber, data: Mapping[str, Any]) -> None:
    """Tell a subscriber on another database what a delivery carries."""
    told = Announcement(news=News(data["news"]), occurrence=_unpacked(data), again=bool(data.get("again")))
    tell(subscriber, [told], using=subscriber.alias or "default")


def _unpacked(data: Mapping[str, Any]) -> Occurrence:
    return Occurrence(
        event_id=UUID(data["event_id"]),
        event_name=data["event_name"],
        entity_type=data["entity_type"],
        entity_id=data["entity_id"],
        at=data["at"] and datetime.fromisoformat(data["at"]),
        generation=data["generation"],
        occurred_at=data["occurred_at"] and datetime.fromisoformat(data["occurred_at"]),
        payload=data["payload"],
        about=tuple((kind, key) for kind, key in data["about"]),
    )


def _of(told: Sequence[Announcement], news: News) -> list[Occurrence]:
    return [one.occurrence for one in told if one.news is news]
