from django.db import models

from automation.events.definitions import EventDefinition


class Order(models.Model):
    status = models.CharField(max_length=20, default="new")
    pickup_at = models.DateTimeField(null=True)

    events = [
        EventDefinition("order_paid", condition=lambda order: order.status == "paid"),
        EventDefinition("pickup_due", date_field="pickup_at"),
    ]


class Entry(models.Model):
    """A line in a ledger: what a callback or a step has written."""

    text = models.CharField(max_length=100)
