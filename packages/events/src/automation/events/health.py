"""What is wrong with events and deliveries, in numbers, for a doctor."""

from __future__ import annotations

from datetime import datetime

from automation.events.models import DeliveryStatus, Event, EventDelivery, EventStatus
from automation.events.ports import Health

__all__ = ["health"]

_COUNTED = 1000


def health(before: datetime, *, using: str) -> Health:
    """Count up to a thousand of each on one database, by index."""
    events, deliveries = Event.objects.using(using), EventDelivery.objects.using(using)
    return Health(
        overdue=events.filter(status=EventStatus.PENDING, next_at__lt=before)[:_COUNTED].count(),
        owed=deliveries.filter(status=DeliveryStatus.PENDING, next_at__lt=before)[:_COUNTED].count(),
        failed=deliveries.filter(status=DeliveryStatus.FAILED)[:_COUNTED].count(),
        parked=deliveries.filter(status=DeliveryStatus.PARKED)[:_COUNTED].count(),
    )
