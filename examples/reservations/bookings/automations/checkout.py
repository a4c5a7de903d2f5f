"""A workflow that waits for papers, gives up waiting, sleeps, fails once, tries again, and completes."""

from datetime import timedelta

from django.utils import timezone
from pydantic import BaseModel

from automation.workflows.core import (
    Retry,
    complete,
    event_workflow,
    fail,
    get_context,
    goto,
    sleep,
    step,
    wait_for_event,
)
from bookings.models import Message, Reservation


@event_workflow(
    "checkout_due",
    offset=timedelta(seconds=-9),
    name="checkout_ops",
    default_retry=Retry(max_attempts=3, base_delay=timedelta(seconds=1)),
)
class CheckoutOps:
    """Get the papers and housekeeping ready before the guest leaves."""

    class Context(BaseModel):
        reservation_id: int
        docs_ready: bool = False
        used_default_docs: bool = False
        attempts: int = 0

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(reservation_id=event.entity.pk)

    @step(start=True)
    def await_docs(self):
        if get_context().docs_ready:
            return goto(self.let_guest_pack)
        return wait_for_event("guest_docs_uploaded", timeout=timedelta(seconds=3), on_timeout="fallback_docs")

    @step()
    def fallback_docs(self):
        get_context().used_default_docs = True
        return goto(self.let_guest_pack)

    @step()
    def let_guest_pack(self):
        return sleep(timedelta(seconds=2), then=self.notify_housekeeping)

    @step()
    def notify_housekeeping(self):
        context = get_context()
        context.attempts += 1
        reservation = Reservation.objects.get(pk=context.reservation_id)
        # Rolled back with the attempt when the next line raises: housekeeping is told once, not twice.
        Message.objects.create(guest=reservation.guest, kind="housekeeping", sent_at=timezone.now())
        if context.attempts < 2:
            raise ConnectionError("housekeeping does not answer")
        return goto(self.finalize)

    @step()
    def finalize(self):
        if get_context().attempts < 2:
            return fail("Housekeeping was not notified")
        return complete()
