"""Taking rows without waiting for whoever holds them: a save that stays open must not stop the processor.

Nor can the two deadlock: the processor waits for no row of an event or a call while it holds another. What somebody
else holds is left for the next look.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import connections
from django.db.models import Model, QuerySet

__all__ = ["can_skip", "unheld"]

Row = TypeVar("Row", bound=Model)


def can_skip(using: str) -> bool:
    """Return whether this database can pass over rows that somebody else holds."""
    return bool(connections[using].features.has_select_for_update_skip_locked)


def unheld(rows: QuerySet[Row], *, using: str) -> QuerySet[Row]:
    """Return those of `rows` that nobody else holds, and hold them until the transaction ends.

    Where the database cannot pass over rows, all are returned, and a write may have to wait.
    """
    features = connections[using].features
    if not can_skip(using):
        return rows
    options: dict[str, Any] = {"of": ("self",)} if features.has_select_for_update_of else {}
    return rows.select_for_update(skip_locked=True, no_key=features.has_select_for_no_key_update, **options)
