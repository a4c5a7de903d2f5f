"""Instants: aware UTC in Python, whatever the project's settings are."""

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone

__all__ = ["InstantField", "to_instant"]


def to_instant(value: date | datetime | None) -> datetime | None:
    """Return the instant that a date field's value means, aware UTC.

    Naive values are read in the project's default time zone, as Django does; a date is its local midnight. What lies
    outside the representable range is brought to its edge.
    """
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.combine(value, time.min)
    try:
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment, timezone.get_default_timezone())
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


_Set_contra = TypeVar("_Set_contra", contravariant=True)
_Get_co = TypeVar("_Get_co", covariant=True)

if TYPE_CHECKING:
    _DateTimeField = models.DateTimeField
else:

    class _DateTimeField(models.DateTimeField):
        """Takes type arguments, which Django's own does in the stubs only."""

        def __class_getitem__(cls, _: object) -> type:
            return cls


class InstantField(_DateTimeField[_Set_contra, _Get_co]):
    """A DateTimeField that gives and takes aware UTC also where `USE_TZ` is False."""

    def from_db_value(self, value: datetime | None, *_: object) -> datetime | None:
        """Return what the database holds as aware UTC."""
        return to_instant(value)

    def get_prep_value(self, value: Any) -> Any:
        """Hand an aware value to a database that takes naive ones."""
        if isinstance(value, datetime) and timezone.is_aware(value) and not settings.USE_TZ:
            value = timezone.make_naive(value, timezone.get_default_timezone())
        return super().get_prep_value(value)
