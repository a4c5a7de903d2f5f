"""System checks of text keys: two spellings may be one key to the database, and are two objects to events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core import checks
from django.db import DatabaseError, connections
from django.db.models import CharField, Model, TextField

from automation.events.databases import may_hold
from automation.events.registry import declarations

__all__ = ["check_keys", "key_column"]

APP = "automation_events"

_COLLATION = """
    SELECT collation_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s
"""


def check_keys(*, databases: Iterable[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Ask MariaDB or MySQL for the collation of each text key; Django calls it where databases are checked, too."""
    models = sorted({one.model for one in declarations().values()}, key=lambda model: model._meta.label)
    return [
        message
        for alias in databases or ()
        if connections[alias].vendor == "mysql"
        for model in models
        if may_hold(alias, model)
        for message in _check(model, alias)
    ]


def key_column(model: type[Model]) -> Any:
    """Return the column that holds the key itself: of a child of several tables, that of its parent."""
    column: Any = model._meta.pk
    while column is not None and column.is_relation:
        column = column.target_field
    return column


def _check(model: type[Model], alias: str) -> Iterator[checks.CheckMessage]:
    column = key_column(model)
    collation = _collation(column, alias) if isinstance(column, CharField | TextField) else None
    if collation is not None and not collation.endswith(("_bin", "_cs")):
        yield checks.Warning(
            f"{model._meta.label} declares events, and 'Case' and 'case' are one to {collation!r}, the collation of "
            f"its key {column.name!r} on {alias!r}: a save overwrites the row of another spelling, whose events stay.",
            hint=f"Give {column.name!r} db_collation='utf8mb4_bin', or silence this check if keys have one spelling.",
            obj=model,
            id=f"{APP}.W008",
        )


def _collation(column: Any, alias: str) -> str | None:
    """Return the collation of a column; None where it is not there yet, or nobody says."""
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(_COLLATION, [column.model._meta.db_table, column.column])
            row = cursor.fetchone()
    except DatabaseError:
        return None  # that the database does not answer, whoever asked for this check learns from Django's own
    return None if row is None else row[0]
