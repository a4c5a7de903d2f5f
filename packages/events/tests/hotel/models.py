"""The models that tests declare events on, one for each way of declaring them."""

import os
import uuid
from datetime import timedelta

from django.db import models
from django.db.models import Q

from automation.events.definitions import EventDefinition
from automation.events.tracking import EventTrackingManager

LOOSE = "NOCASE" if os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite") == "sqlite" else None


def confirmed(reservation):
    return reservation.status == "confirmed"


class Reservation(models.Model):
    """The guide's model."""

    checkin_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20, default="pending")
    note = models.CharField(max_length=100, default="")

    events = [
        EventDefinition("reservation_confirmed", condition=confirmed),
        EventDefinition("checkin_due", date_field="checkin_at", condition=confirmed),
    ]


class Ledger(models.Model):
    """What callbacks write; the oracle of most tests."""

    entry = models.CharField(max_length=200)


class UniqueLedger(models.Model):
    entry = models.CharField(max_length=200, unique=True)


class Plain(models.Model):
    """Declares nothing, and is reached by a relation called `events`."""

    name = models.CharField(max_length=20)


class Visit(models.Model):
    plain = models.ForeignKey(Plain, on_delete=models.CASCADE, related_name="events")


class Concert(models.Model):
    """Has a field called `events`."""

    events = models.IntegerField(default=0)


class Alarm(models.Model):
    """Repeats."""

    level = models.IntegerField(default=0)

    events = [EventDefinition("alarm_raised", condition=lambda a: a.level > 5, repeat=True)]


class Timed(models.Model):
    """An abstract base that declares."""

    due_at = models.DateTimeField(null=True)

    events = [EventDefinition("timed_due", date_field="due_at")]

    class Meta:
        abstract = True


class Task(Timed):
    title = models.CharField(max_length=20, default="")


class Meeting(Timed):
    """Adds one of its own to what its base declares."""

    events = [EventDefinition("meeting_planned")]


class Silent(Timed):
    """Takes nothing from its base."""

    events = []


class Animal(models.Model):
    name = models.CharField(max_length=20, default="")
    fed_at = models.DateTimeField(null=True)

    events = [EventDefinition("animal_fed", date_field="fed_at"), EventDefinition("animal_seen")]


class Dog(Animal):
    trained = models.BooleanField(default=False)

    events = [EventDefinition("dog_trained", condition=lambda d: d.trained)]


class LoudDog(Dog):
    """A proxy with an event and a method of its own."""

    events = [EventDefinition("barked", condition=lambda d: d.is_loud())]

    class Meta:
        proxy = True

    def is_loud(self):
        return self.name.isupper()


class Document(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    signed = models.BooleanField(default=False)

    events = [EventDefinition("document_signed", condition=Q(signed=True))]


class Country(models.Model):
    code = models.CharField(max_length=10, primary_key=True)
    independent_at = models.DateField(null=True)

    events = [EventDefinition("country_day", date_field="independent_at")]


class Tariff(models.Model):
    """The database gives its key back otherwise than it was given: with all its places."""

    rate = models.DecimalField(max_digits=6, decimal_places=2, primary_key=True)
    withdrawn = models.BooleanField(default=False)

    objects = EventTrackingManager()

    events = [
        EventDefinition("tariff_published", condition=lambda t: True),
        EventDefinition("tariff_withdrawn", condition=Q(withdrawn=True)),
    ]


class Season(models.Model):
    """Its key is a time: in UTC, in whatever zone it was given."""

    begins_at = models.DateTimeField(primary_key=True)

    objects = EventTrackingManager()

    events = [EventDefinition("season_announced", condition=lambda s: True)]


class TariffNote(models.Model):
    """Has the key of what it is about."""

    tariff = models.OneToOneField(Tariff, on_delete=models.CASCADE, primary_key=True)

    events = [EventDefinition("tariff_explained", condition=lambda n: True)]


class NotDeleted(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(deleted=False)


class Note(models.Model):
    """Hides what was deleted softly."""

    deleted = models.BooleanField(default=False)

    objects = NotDeleted()

    events = [EventDefinition("note_binned", condition=lambda n: n.deleted)]


def is_good(faulty):
    if faulty.mood == "raise":
        raise ValueError("in a bad mood")
    if faulty.mood == "query":
        list(Plain.objects.extra(where=["no_such_column = 1"]))
    return faulty.mood == "good"


def what_mood(faulty):
    return {"when": float("nan")} if faulty.at is None else {"mood": faulty.mood}


class Faulty(models.Model):
    """Conditions and payloads that raise when told to."""

    mood = models.CharField(max_length=20, default="fine")
    at = models.DateTimeField(null=True)

    events = [
        EventDefinition("faulty_now", condition=is_good),
        EventDefinition("faulty_payload", condition=lambda f: f.mood == "good", payload=what_mood),
        EventDefinition("faulty_due", date_field="at", condition=is_good),
        EventDefinition("sound", condition=lambda f: True),
    ]


class Shift(models.Model):
    """May come true late, but not for ever; about the reservation it serves."""

    starts_at = models.DateTimeField(null=True)
    staffed = models.BooleanField(default=False)
    reservation = models.ForeignKey(Reservation, null=True, on_delete=models.SET_NULL)

    events = [
        EventDefinition(
            "shift_started",
            date_field="starts_at",
            condition=lambda s: s.staffed,
            late=timedelta(hours=1),
            about="reservation",
            payload=lambda s: {"shift": s.pk},
        )
    ]


class Parcel(models.Model):
    """Bulk operations keep its events right."""

    sent_at = models.DateTimeField(null=True)
    weight = models.IntegerField(default=1)
    label = models.CharField(max_length=20, null=True, unique=True)

    objects = EventTrackingManager()

    events = [
        EventDefinition("parcel_sent", date_field="sent_at"),
        EventDefinition("parcel_heavy", condition=Q(weight__gt=10)),
    ]


class Crate(models.Model):
    """Its key is made before it is saved; an upsert finds its row by what is written on it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    depot = models.ForeignKey(Plain, on_delete=models.CASCADE)
    number = models.IntegerField()
    weight = models.IntegerField(default=1)

    objects = EventTrackingManager()

    events = [EventDefinition("crate_heavy", condition=Q(weight__gt=10))]

    class Meta:
        constraints = [models.UniqueConstraint(fields=["depot", "number"], name="crate_number")]


class Guest(models.Model):
    """A condition as a Q over a relation."""

    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="guests")

    events = [EventDefinition("guest_of_confirmed", condition=Q(reservation__status="confirmed"))]


def _wide(number):
    """Half of them scheduled, at least one."""
    scheduled = (number + 1) // 2
    return [
        EventDefinition(f"wide_{index}", date_field="at", condition=lambda w: w.flag) for index in range(scheduled)
    ] + [EventDefinition(f"wide_now_{index}", condition=lambda w: w.flag) for index in range(number - scheduled)]


class Wide1(models.Model):
    at = models.DateTimeField(null=True)
    flag = models.BooleanField(default=False)

    events = _wide(1)


class Wide5(models.Model):
    at = models.DateTimeField(null=True)
    flag = models.BooleanField(default=False)

    events = _wide(5)


class Wide20(models.Model):
    at = models.DateTimeField(null=True)
    flag = models.BooleanField(default=False)

    events = _wide(20)


class Stamped:
    """A plain mixin that declares. Unlike abstract bases, migrations keep mixins among the bases of their models."""

    events = [EventDefinition("stamped")]


class Letter(Stamped, models.Model):
    """Declares by a mixin."""

    text = models.CharField(max_length=20, default="")


class Careless(models.Model):
    """Its condition saves it."""

    looks = models.IntegerField(default=0)

    def look(self):
        if self.looks < 3:
            self.looks += 1
            self.save()
        return True

    events = [EventDefinition("looked_at", condition=look)]


class Job(models.Model):
    """Work for whole processes: see `automations`."""

    at = models.DateTimeField()

    events = [EventDefinition("job_due", date_field="at")]


class Pattern(models.Model):
    """One of its conditions is a Q that no database can answer."""

    text = models.CharField(max_length=20, default="a")
    at = models.DateTimeField(null=True)

    events = [
        EventDefinition("pattern_broken", condition=Q(text__regex="(")),
        EventDefinition("pattern_due", date_field="at", condition=Q(text__regex="(")),
        EventDefinition("pattern_sound", condition=Q(text__endswith="a")),
    ]


class FirstParent(models.Model):
    first_id = models.AutoField(primary_key=True)

    events = [EventDefinition("first_seen")]


class SecondParent(models.Model):
    second_id = models.AutoField(primary_key=True)

    events = [EventDefinition("second_seen")]


class Both(FirstParent, SecondParent):
    """Has the key of its first parent, and another one in its second."""


class Code(models.Model):
    """Text whose order, or even equality, is the database's."""

    plain = models.CharField(max_length=10, default="")
    loose = models.CharField(max_length=10, default="", db_collation=LOOSE)

    events = [
        EventDefinition("code_after", condition=Q(plain__gt="a")),
        EventDefinition("code_is", condition=Q(loose="nl")),
    ]


class Ward(models.Model):
    """Has a manager, and none that is called `objects`."""

    opens_at = models.DateTimeField(null=True)
    open = models.BooleanField(default=False)

    everything = models.Manager()

    events = [
        EventDefinition("ward_opened", condition=Q(open=True, opens_at__year__gt=2000)),
        EventDefinition("ward_opens", date_field="opens_at", condition=lambda w: w.open),
    ]


class Annexe(Ward):
    """Has the managers of its parent, and so none that is called `objects` either."""


def is_listed(badge):
    if badge.name == "wrong":
        return Plain.objects.using("other").extra(where=["no_such_column = 1"]).exists()
    return Plain.objects.using("other").filter(name=badge.name).exists()


class Badge(models.Model):
    """Its condition asks another database."""

    name = models.CharField(max_length=20)
    at = models.DateTimeField(null=True)

    events = [
        EventDefinition("badge_listed", condition=is_listed),
        EventDefinition("badge_due", date_field="at", condition=is_listed),
    ]


class Offer(models.Model):
    """Has a column that the database computes; what the instance holds of it is from before an update."""

    nights = models.IntegerField(default=1)
    price = models.GeneratedField(
        expression=models.F("nights") * 100, output_field=models.IntegerField(), db_persist=True
    )

    events = [
        EventDefinition("offer_dear", condition=lambda offer: offer.price >= 500),
        EventDefinition("offer_dear_q", condition=Q(price__gte=500)),
    ]
