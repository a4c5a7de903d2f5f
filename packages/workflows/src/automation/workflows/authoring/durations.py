"""How long anything may last: sums of dates and durations stay within what every database keeps."""

from datetime import timedelta
from typing import Any

__all__ = ["LONGEST", "is_duration"]

LONGEST = timedelta(days=36_525)
"""A hundred years. `timedelta.max` added to any date overflows, and MariaDB ends with the year 9999."""


def is_duration(value: Any) -> bool:
    """Return whether this is a timedelta of no less than nothing and no more than a hundred years."""
    return isinstance(value, timedelta) and timedelta(0) <= value <= LONGEST
