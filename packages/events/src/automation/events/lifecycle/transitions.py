"""Which status of an event may follow which, and why.

Two rules:

1. Every change of an event's status goes through `advance`, so this table is the whole truth about it.
2. A final status stays. Re-arming does not revive a row: the old one becomes history, and a new row with the next
   generation begins at PENDING. So an id names one occurrence for ever.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from automation.events.lifecycle.status import EventStatus

__all__ = ["TRANSITIONS", "Cause", "IllegalTransition", "advance"]


class Cause(StrEnum):
    """Why an event's row changes."""

    MOVED = "moved"
    """Its date was set or changed, to a time that still counts."""
    DISARMED = "disarmed"
    """Its date was cleared."""
    RETURNED = "returned"
    """It was armed again, and its date went back before that time had come."""
    HELD_BACK = "held_back"
    """It was looked at, and its condition was false or could not be judged."""
    FULFILLED = "fulfilled"
    """It was due, its entity was read afresh, and its condition held."""
    MARKED = "marked"
    """Somebody called `mark_as_occurred()`."""
    CANCELLED = "cancelled"
    """Somebody called `cancel()`."""
    DELETED = "deleted"
    """Its entity is gone."""
    EXPIRED = "expired"
    """Its date was too old when first seen, or its condition came true after the bound set by `late`."""
    WITHDRAWN = "withdrawn"
    """Its definition is no longer in the code, and a sync took it back."""


class IllegalTransition(ValueError):
    """A status was asked to change in a way that the table does not know."""


TRANSITIONS: Mapping[EventStatus, Mapping[Cause, EventStatus]] = MappingProxyType(
    {
        EventStatus.PENDING: MappingProxyType(
            {
                Cause.MOVED: EventStatus.PENDING,
                Cause.DISARMED: EventStatus.PENDING,
                Cause.RETURNED: EventStatus.CANCELLED,
                Cause.HELD_BACK: EventStatus.PENDING,
                Cause.FULFILLED: EventStatus.OCCURRED,
                Cause.MARKED: EventStatus.OCCURRED,
                Cause.CANCELLED: EventStatus.CANCELLED,
                Cause.DELETED: EventStatus.CANCELLED,
                Cause.EXPIRED: EventStatus.EXPIRED,
                Cause.WITHDRAWN: EventStatus.CANCELLED,
            }
        ),
        EventStatus.OCCURRED: MappingProxyType({}),
        EventStatus.CANCELLED: MappingProxyType({}),
        EventStatus.EXPIRED: MappingProxyType({}),
    }
)


def advance(status: EventStatus, cause: Cause) -> EventStatus:
    """Return the status that follows `status` for this cause.

    Raises `IllegalTransition` for a pair that the table does not list.

    >>> advance(EventStatus.PENDING, Cause.FULFILLED)
    <EventStatus.OCCURRED: 'occurred'>
    """
    try:
        return TRANSITIONS[status][cause]
    except KeyError:
        legal = ", ".join(TRANSITIONS[status]) or "nothing: it is final"
        raise IllegalTransition(
            f"An event that is {str(status)!r} cannot be {str(cause)!r}. What may follow: {legal}."
        ) from None
