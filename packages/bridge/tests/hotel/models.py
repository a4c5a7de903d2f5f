"""Stays with dates, papers that say what they are about, and guests' complaints, which do not."""

from typing import ClassVar

from django.db import models

from automation.events.definitions import EventDefinition


class Stay(models.Model):
    """Somebody stays here from a time on, if it is confirmed."""

    arrives_at = models.DateTimeField(null=True)
    confirmed = models.BooleanField(default=True)
    name = models.CharField(max_length=50, default="Ada")

    events: ClassVar = [
        EventDefinition("stay_confirmed", condition=lambda stay: stay.confirmed),
        EventDefinition(
            "arrival_due",
            date_field="arrives_at",
            condition=lambda stay: stay.confirmed,
            payload=lambda stay: {"name": stay.name, "entity_id": "forged"},
        ),
    ]


class Paper(models.Model):
    """A document for a stay."""

    stay = models.ForeignKey(Stay, on_delete=models.CASCADE)

    events: ClassVar = [EventDefinition("paper_uploaded", about="stay")]


class Complaint(models.Model):
    """Says nothing about what it is about."""

    events: ClassVar = [EventDefinition("complaint_made")]
