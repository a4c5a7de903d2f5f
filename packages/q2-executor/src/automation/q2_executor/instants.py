"""Instants: aware UTC in Python, and what the project's `USE_TZ` asks for in its tables and in q2's."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

__all__ = ["InstantField", "as_stored"]


def as_stored(at: datetime) -> datetime:
    """Return an aware time as tables hold it: naive, in the default time zone, where `USE_TZ` is False."""
    return at if settings.USE_TZ else timezone.make_naive(at, timezone.get_default_timezone())


class InstantField(models.DateTimeField):  # type: ignore[type-arg] # a class to mypy, no generic to Python
    """A DateTimeField that gives and takes aware UTC also where `USE_TZ` is False."""

    def from_db_value(self, value: datetime | None, *_: object) -> datetime | None:
        """Return what the database holds as aware UTC."""
        if value is None:
            return None
        aware = timezone.make_aware(value, timezone.get_default_timezone()) if timezone.is_naive(value) else value
        return aware.astimezone(UTC)

    def get_prep_value(self, value: Any) -> Any:
        """Hand the database what it takes."""
        is_aware = isinstance(value, datetime) and timezone.is_aware(value)
        return super().get_prep_value(as_stored(value) if is_aware else value)
