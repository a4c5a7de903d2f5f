"""One event, one action."""

from django.utils import timezone

from automation.events.callbacks import on_event
from automation.events.models import Event
from bookings.models import Message


@on_event(event_name="reservation_confirmed")
def send_welcome_email(event: Event) -> None:
    """Welcome the guest, right after the commit that confirmed the stay."""
    Message.objects.create(guest=event.entity.guest, kind="welcome", sent_at=timezone.now())
