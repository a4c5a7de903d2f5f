"""The story of an event and of the calls that it owes, as a failing test shows it."""

from datetime import UTC, datetime
from typing import Any

__all__ = ["call_story", "clock_time", "event_story", "moment"]


def event_story(event: Any) -> str:
    """Return what an event is and why it does not move."""
    lines = [f"{event.event_name} of {event.entity_type}:{event.entity_id} is {event.status.upper()}"]
    if event.at is not None:
        lines.append(f"  at {moment(event.at)}")
    lines += [f"  {label}: {text}" for label, text in (("why", event.why), ("error", event.error)) if text]
    return "\n".join(lines)


def call_story(delivery: Any) -> str:
    """Return which call is owed or was made, how often it was tried, when it is next, and why it does not move."""
    event = delivery.event
    parts = [f"for {event.event_name} of {event.entity_type}:{event.entity_id} is {delivery.status.upper()}"]
    parts += [f"tried {delivery.attempts} time(s)"] if delivery.attempts else []
    parts += [f"next at {moment(delivery.next_at)}"] if delivery.next_at is not None else []
    parts += [text for text in (delivery.why, delivery.error.strip().splitlines()[0] if delivery.error else "") if text]
    return ", ".join(parts)


def clock_time(at: datetime) -> str:
    """Return date and time in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def moment(at: datetime) -> str:
    """Return date and time in UTC, and how far away that is."""
    ahead = at - datetime.now(UTC)
    distance = f"in {ahead}" if ahead.total_seconds() >= 0 else f"{-ahead} ago"
    return f"{clock_time(at)} UTC ({distance})"
