"""Stays with dates, papers that say what they are about, guests' complaints, which do not, and kinds of bookings."""

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


class Booking(models.Model):
    """What is booked, of whatever kind: the kinds are tables of their own that share its key."""

    paid = models.BooleanField(default=False)
    starts_at = models.DateTimeField(null=True)

    events: ClassVar = [
        EventDefinition("booking_starts", date_field="starts_at"),
        EventDefinition("booking_made"),
        EventDefinition("booking_paid", condition=lambda booking: booking.paid),
    ]


class Suite(Booking):
    """Declares events of its own, beside those of every booking."""

    cleaned = models.BooleanField(default=False)

    events: ClassVar = [
        EventDefinition("suite_made"),
        EventDefinition("suite_cleaned", condition=lambda suite: suite.cleaned),
    ]


class RoyalSuite(Suite):
    """Declares none: what occurs to it occurs to the suite or the booking that it is."""


class Hall(Booking):
    """Another kind of booking, which bookings know nothing of."""

    booking = models.OneToOneField(Booking, on_delete=models.CASCADE, parent_link=True, related_name="+")

    events: ClassVar = [EventDefinition("hall_made")]


class Bill(models.Model):
    """Is about a booking, whatever its kind."""

    booking = models.ForeignKey(Booking, on_delete=models.CASCADE)

    events: ClassVar = [EventDefinition("bill_sent", about="booking")]


class Slot(models.Model):
    """A time of the day, under a key of its own."""

    number = models.AutoField(primary_key=True)

    events: ClassVar = [EventDefinition("slot_made")]


class BookedSlot(Booking, Slot):
    """A booking, whose key it has, that is a slot as well, with the slot's key."""

    events: ClassVar = [EventDefinition("slot_booked", about="slot_ptr")]
