"""The databases that have our tables."""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed
from django.db import connections, router
from django.db.models import Model, QuerySet

from automation.events.conf import conf

__all__ = ["aliases", "candidates", "is_served", "may_hold", "written_to"]

_known: set[tuple[str, str]] = set()


def aliases(*, only: str | None = None) -> list[str]:
    """Return the aliases to look at: those of the setting DATABASES, or every one that has the tables."""
    return [alias for alias in candidates(only=only) if is_served(alias, only=only)]


def candidates(*, only: str | None = None) -> list[str]:
    """Return the aliases that may have to be looked at; asks no database anything."""
    if only is not None:
        return [only]
    chosen = conf().databases
    return list(connections if chosen is None else chosen)


def is_served(alias: str, *, only: str | None = None) -> bool:
    """Return whether a candidate is to be looked at; raises what the database raises when it cannot be reached."""
    return only is not None or conf().databases is not None or _has_tables(alias)


def may_hold(alias: str, model: type[Model]) -> bool:
    """Return whether rows of `model` may be stored on a database, by the routers."""
    return bool(router.allow_migrate_model(alias, model))


def written_to(queryset: QuerySet[Any]) -> str:
    """Return the alias on which the rows of a queryset are written; `queryset.db` may be that of a replica."""
    return getattr(queryset, "_db", None) or str(router.db_for_write(queryset.model))


def _has_tables(alias: str) -> bool:
    from automation.events.models import Event

    connection = connections[alias]
    if hasattr(connection.cursor, "wrapped"):
        return False  # Django's test cases put a refusal in place of the cursor of databases they were not given
    known = (alias, str(connection.settings_dict["NAME"]))
    if known in _known:
        return True
    if not may_hold(alias, Event):
        return False
    if len(list(connections)) == 1 or Event._meta.db_table in connection.introspection.table_names():
        _known.add(known)
        return True
    return False


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("DATABASES", "DATABASE_ROUTERS"):
        _known.clear()


setting_changed.connect(_forget, dispatch_uid="automation_events.databases")
