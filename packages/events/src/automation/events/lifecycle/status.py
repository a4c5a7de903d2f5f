"""The statuses of events and deliveries: what each means, who moves it on, how long it is kept."""

from enum import StrEnum

__all__ = ["DeliveryStatus", "EventStatus"]


class EventStatus(StrEnum):
    """Where one occurrence of an event stands."""

    PENDING = "pending"
    """It has not occurred. A save, the processor, `cancel()` or `mark_as_occurred()` moves it on; never cleaned up."""
    OCCURRED = "occurred"
    """It has happened. Final; kept while its entity exists, so that it cannot happen twice."""
    CANCELLED = "cancelled"
    """It will not happen: its entity was deleted, `cancel()` was called, or a date that had armed it again was taken
    back. Final; cleaned up once it is history."""
    EXPIRED = "expired"
    """It was first seen, or its condition came true, too late to count. Final; cleaned up once it is history."""


class DeliveryStatus(StrEnum):
    """Where the call that one callback owes one event stands."""

    PENDING = "pending"
    """Owed. `next_at` says when: its due time, its next try, or the end of the claim of the process that is at it."""
    DELIVERED = "delivered"
    """The callback returned. Final; cleaned up with old history."""
    FAILED = "failed"
    """Every try failed. It stays visible, and a person may run it again, until its event is cleaned up."""
    CANCELLED = "cancelled"
    """No longer owed: its event was cancelled, disarmed or superseded before the call had begun. Final."""
    PARKED = "parked"
    """Owed, but no process that checked it knows the callback. The first one that does makes it PENDING again."""
