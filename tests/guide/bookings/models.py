"""The guide's Reservation, as the guide writes it, and the model that its section 4 speaks of and does not show."""

from django.db import models

from automation.events.definitions import EventDefinition
from tests.guide.page import execute

execute("models", globals())


class Stay(models.Model):
    checkout_at = models.DateTimeField(null=True)
    docs_uploaded = models.BooleanField(default=False)

    events = [
        EventDefinition("checkout_due", date_field="checkout_at"),
        EventDefinition(
            "guest_docs_uploaded",
            condition=lambda stay: stay.docs_uploaded,
            # Its own payload joins the bridge's; the keys that the guide's Context declares are merged.
            payload=lambda stay: {"docs_ready": True, "pages": 3},
        ),
    ]
