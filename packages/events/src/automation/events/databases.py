"""The databases that have our tables."""

from __future__ import annotations

from django.core.signals import setting_changed
from django.db import connections, router

from automation.events.conf import conf

__all__ = ["aliases"]

_known: set[tuple[str, str]] = set()


def aliases(*, only: str | None = None) -> list[str]:
    """Return the aliases to look at: those of the setting DATABASES, or every one that has the tables."""
    if only is not None:
        return [only]
    chosen = conf().databases
    return list(chosen) if chosen is not None else [alias for alias in connections if _has_tables(alias)]


def _has_tables(alias: str) -> bool:
    from automation.events.models import Event

    connection = connections[alias]
    if hasattr(connection.cursor, "wrapped"):
        return False  # Django's test cases put a refusal in place of the cursor of databases they were not given
    known = (alias, str(connection.settings_dict["NAME"]))
    if known in _known:
        return True
    if not router.allow_migrate_model(alias, Event):
        return False
    if len(list(connections)) == 1 or Event._meta.db_table in connection.introspection.table_names():
        _known.add(known)
        return True
    return False


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("DATABASES", "DATABASE_ROUTERS"):
        _known.clear()


setting_changed.connect(_forget, dispatch_uid="automation_events.databases")
