"""What workflows in the tests write: a parcel, and a ledger in which nothing may be lost or doubled."""

from django.db import models


class Parcel(models.Model):
    """Something a run is about."""

    label = models.CharField(max_length=50, default="")
    state = models.CharField(max_length=20, default="packed")

    def __str__(self) -> str:
        return self.label


class Entry(models.Model):
    """One line of a ledger, written by a step."""

    account = models.CharField(max_length=50)
    amount = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.account}: {self.amount}"
