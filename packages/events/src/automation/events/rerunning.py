"""Running failed deliveries again, at a person's wish."""

from __future__ import annotations

from collections.abc import Iterable

from automation.events.lifecycle.status import DeliveryStatus
from automation.events.models import EventDelivery
from automation.events.ports.wiring import wiring

__all__ = ["run_again"]


def run_again(deliveries: Iterable[EventDelivery], *, using: str = "default") -> int:
    """Owe failed deliveries again, due now and with all their tries; return how many there were.

    The processor makes the calls. What is not FAILED any more is left alone.
    """
    failed = EventDelivery.objects.using(using).filter(pk__in=[one.pk for one in deliveries])
    now = wiring.clock.now()
    count = failed.filter(status=DeliveryStatus.FAILED).update(
        status=DeliveryStatus.PENDING, attempts=0, next_at=now, finished_at=None, why="run again by a person"
    )
    if count and wiring.dispatcher is not None and wiring.dispatcher.horizon:
        wiring.dispatcher.hint(now, using=using)
    return count
