"""Stays and papers that declare events, and the ledger in which steps and callbacks write what they did."""

import os
from datetime import UTC, datetime
from typing import ClassVar

from django.db import models

from automation.events.definitions import EventDefinition


class Stay(models.Model):
    """Somebody stays here from a time on, if it is confirmed."""

    arrives_at = models.DateTimeField(null=True)
    confirmed = models.BooleanField(default=False)
    kind = models.CharField(max_length=20, default="guide")

    events: ClassVar = [
        EventDefinition("stay_confirmed", condition=lambda stay: stay.confirmed),
        EventDefinition("arrival_due", date_field="arrives_at", condition=lambda stay: stay.confirmed),
    ]


class Paper(models.Model):
    """A document that was uploaded for a stay."""

    stay = models.ForeignKey(Stay, on_delete=models.CASCADE)

    events: ClassVar = [EventDefinition("paper_uploaded", about="stay")]


class Entry(models.Model):
    """One line of the ledger. Nothing here is unique: what was done twice is there twice."""

    what = models.CharField(max_length=60, db_index=True)
    about = models.CharField(max_length=60)
    due_at = models.DateTimeField(null=True)
    written_at = models.DateTimeField()
    process = models.IntegerField()

    @classmethod
    def write(cls, what: str, about: object, due_at: datetime | None = None) -> None:
        """Write a line."""
        now = datetime.now(UTC)
        cls.objects.create(what=what, about=str(about), due_at=due_at, written_at=now, process=os.getpid())
