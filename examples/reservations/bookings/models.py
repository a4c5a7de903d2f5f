"""What happens to a reservation is declared on its model; what is done about it is in `automations/`."""

from django.db import models

from automation.events.definitions import EventDefinition


class Reservation(models.Model):
    """A guest's stay."""

    guest = models.CharField(max_length=80)
    checkin_at = models.DateTimeField()
    checkout_at = models.DateTimeField()
    status = models.CharField(max_length=20, default="pending")

    events = [
        # Immediate: occurs after the commit of the save that confirms.
        EventDefinition("reservation_confirmed", condition=lambda r: r.status == "confirmed"),
        # Scheduled: occur at their dates, still gated by the condition, and follow every edit of the dates.
        EventDefinition("checkin_due", date_field="checkin_at", condition=lambda r: r.status == "confirmed"),
        EventDefinition("checkout_due", date_field="checkout_at", condition=lambda r: r.status == "confirmed"),
    ]

    def __str__(self) -> str:
        return f"{self.guest}'s stay"


class GuestDocument(models.Model):
    """A scan of the guest's papers."""

    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE)
    file_name = models.CharField(max_length=120)

    events = [
        # `about`: it wakes what waits for the documents of this reservation, and of no other.
        EventDefinition(
            "guest_docs_uploaded",
            about="reservation",
            payload=lambda document: {"docs_ready": True},
        ),
    ]

    def __str__(self) -> str:
        return self.file_name


class Message(models.Model):
    """A mail to a guest or to the staff. This example sends none: it keeps them, so that they can be counted."""

    guest = models.CharField(max_length=80)
    kind = models.CharField(max_length=20)
    sent_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} to {self.guest}"
