"""Rows read one by one where a page of them cannot be: a row that is spoilt must not hide the others."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

__all__ = ["SPOILT", "readable"]

logger = logging.getLogger("automation.workflows")

_M = TypeVar("_M", bound=Model)
_V = TypeVar("_V")

SPOILT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading raises for broken JSON, for a value that only a newer release knows, for a field that is not there."""


def readable(rows: QuerySet[_M], limit: int, read: Callable[[_M], _V]) -> tuple[list[_V], dict[Any, str]]:
    """Read at most `limit` rows in order: give what they hold, and by primary key why the others hold nothing.

    What cannot be read is logged. It may have been written by a newer release, and then is that release's to handle.
    """
    try:
        return [read(row) for row in rows[:limit]], {}
    except SPOILT:
        # Which one it was is not known: the rest of the page was not read.
        found: list[_V] = []
    spoilt: dict[Any, str] = {}
    for key in list(rows.values_list("pk", flat=True)[:limit]):
        try:
            found += [read(row) for row in rows.filter(pk=key)]
        except SPOILT as error:
            spoilt[key] = f"{type(error).__name__}: {error}"
            logger.error(
                "%s %s cannot be read (%s). It is left to a newer release, or to a person; the others go on.",
                rows.model.__name__,
                key,
                spoilt[key],
            )
    return found, spoilt
