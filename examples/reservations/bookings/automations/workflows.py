"""A workflow that runs before its event: days would do in life, seconds do in a demo."""

from datetime import timedelta

from django.utils import timezone
from pydantic import BaseModel

from automation.workflows.core import complete, event_workflow, get_context, step
from bookings.models import Message, Reservation


@event_workflow("checkin_due", offset=timedelta(seconds=-5), name="pre_arrival_reminder")
class PreArrivalReminder:
    """Remind the guest shortly before the check-in, whenever that is by then."""

    class Context(BaseModel):
        reservation_id: int

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(reservation_id=event.entity.pk)

    @step(start=True)
    def send_reminder(self):
        reservation = Reservation.objects.get(pk=get_context().reservation_id)
        Message.objects.create(guest=reservation.guest, kind="reminder", sent_at=timezone.now())
        return complete()
