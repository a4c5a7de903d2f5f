"""An inn whose models are awkward on purpose."""

import uuid

from django.db import models

from automation.events.definitions import EventDefinition


class Guest(models.Model):
    """Its bookings are called `events`: a name that is not ours alone."""

    name = models.CharField(max_length=50)


class Booking(models.Model):
    guest = models.ForeignKey(Guest, null=True, on_delete=models.CASCADE, related_name="events")
    arrives_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20, default="asked")
    papers = models.CharField(max_length=50, default="")

    events = [
        EventDefinition("booking_confirmed", condition=lambda booking: booking.status == "confirmed"),
        EventDefinition(
            "arrival_due", date_field="arrives_at", condition=lambda booking: booking.status == "confirmed"
        ),
        EventDefinition(
            "papers_in",
            condition=lambda booking: booking.papers != "",
            payload=lambda booking: {"papers": booking.papers},
        ),
    ]


class Present(models.Manager["Room"]):
    def get_queryset(self):
        return super().get_queryset().filter(gone=False)


class Room(models.Model):
    """Its default manager hides what was removed; its key is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    free_at = models.DateTimeField()
    gone = models.BooleanField(default=False)

    objects = Present()

    events = [EventDefinition("room_free", date_field="free_at")]


class Bell(models.Model):
    """Rings each time it is pulled anew."""

    pulled = models.BooleanField(default=False)

    events = [EventDefinition("bell_rung", condition=lambda bell: bell.pulled, repeat=True)]


class Riddle(models.Model):
    """One of its conditions raises until it has an answer."""

    answer = models.CharField(max_length=20, null=True)

    events = [
        EventDefinition("riddle_told"),
        EventDefinition("riddle_solved", condition=lambda riddle: riddle.answer.isalpha()),
    ]


class Note(models.Model):
    """A line that a callback or step has written."""

    text = models.CharField(max_length=200)
