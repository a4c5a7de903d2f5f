"""System checks: every mistake in a declaration is found at start-up, with an id and what to write instead.

| id | what |
|---|---|
| E001 | something in an `events` list is not an EventDefinition, or it is no list |
| E002 | a name is declared twice |
| E003, E004 | the date field is unknown, or not a date field |
| E005 | `repeat` together with a date field |
| E006 | the primary key is composite |
| E007 | a key or value of `AUTOMATION_EVENTS` is wrong |
| E008 | a regular package shadows the namespace `automation` |
| E009 | `about` leads nowhere |
| E010 | a model and its concrete parent declare the same name |
| E011 | a model is written where events may not be stored |
| E012 | a condition is a Q that does not fit the model |
| E013 | the primary key may be longer than 255 characters |
| E014 | `AUTOMATION_EVENTS['DATABASES']` names a database that is not there |
| W001 | the date field is a DateField |
| W002 | `late` without a date field |
| W003 | `repeat` without a condition |
| W004 | SQLite with DEFERRED transactions |
| W005 | a callback is for an event that no model declares |
| W006 | `USE_TZ` is False |
| W007 | a callback is to be called before an immediate event |
| W008 | a text key whose spellings are one to MariaDB or MySQL (`check --database`, and each `migrate`) |
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import router
from django.db.models import DateField, DateTimeField, Model, Q

from automation.events import registry
from automation.events.callback_checks import check_callbacks
from automation.events.conf import SETTING, conf, mistakes
from automation.events.definitions import EventDefinition
from automation.events.key_checks import check_keys, key_column

__all__ = ["check_databases", "check_definitions", "check_namespace", "check_settings", "register"]

KEY_LIMIT = 255
"""Characters of a primary key that are stored with its events."""

APP = "automation_events"


def register() -> None:
    """Register the checks; safe to call twice."""
    for check in (check_definitions, check_settings, check_namespace, check_databases, check_callbacks):
        checks.register(check, "automation")
    # Not under our tag as well: whoever asks for that names no database, and Django 6.1 then passes all of them.
    checks.register(check_keys, checks.Tags.database)


def check_definitions(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Check what the models declare."""
    models = apps.get_models(include_auto_created=True)
    wanted = None if app_configs is None else {config.label for config in app_configs}
    return [
        message
        for model in models
        if wanted is None or model._meta.app_label in wanted
        for message in _check_model(model)
    ]


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Check the dict `AUTOMATION_EVENTS` and the settings that change what dates mean."""
    messages: list[checks.CheckMessage] = [checks.Error(text, id=f"{APP}.E007") for text in mistakes()]
    messages.extend(
        checks.Error(
            f"{SETTING}['DATABASES'] names {alias!r}, which is not in DATABASES.",
            hint=f"There are: {', '.join(settings.DATABASES)}.",
            id=f"{APP}.E014",
        )
        for alias in conf().databases or ()
        if alias not in settings.DATABASES
    )
    if not settings.USE_TZ and registry.declarations():
        messages.append(
            checks.Warning(
                "USE_TZ is False: dates are read in TIME_ZONE, and an hour that occurs twice is ambiguous.",
                hint="Set USE_TZ = True.",
                id=f"{APP}.W006",
            )
        )
    return messages


def check_namespace(**_: Any) -> list[checks.CheckMessage]:
    """Check that nothing shadows the namespace package `automation`."""
    namespace = sys.modules.get("automation") or importlib.import_module("automation")
    shadow = getattr(namespace, "__file__", None)
    if shadow is None:
        return []
    return [
        checks.Error(
            f"A regular package 'automation' shadows the namespace that the automation packages share: {shadow}",
            hint=f"Rename {Path(shadow).parent} or delete its __init__.py.",
            id=f"{APP}.E008",
        )
    ]


def check_databases(**_: Any) -> list[checks.CheckMessage]:
    """Check how the databases are set up for what we promise."""
    return [*_check_sqlite(), *_check_aliases()]


def _check_model(model: type[Model]) -> Iterator[checks.CheckMessage]:
    yield from _check_lists(model)
    if model._meta.proxy:
        ours = [one for one in registry.declared(model) if one.model is model]
    else:
        ours = list(registry.declared(model))
    yield from _check_parents(model, ours)
    for one in ours:
        if one.model is model:
            yield from _check_definition(model, one.definition)
    if ours and (getattr(key_column(model), "max_length", None) or 0) > KEY_LIMIT:
        yield checks.Error(
            f"{model._meta.label} declares events, and its primary key may be longer than {KEY_LIMIT} characters.",
            hint=f"Give the primary key a max_length of at most {KEY_LIMIT}.",
            obj=model,
            id=f"{APP}.E013",
        )
    if ours and isinstance(getattr(model._meta, "pk_fields", None), list | tuple) and len(model._meta.pk_fields) > 1:
        yield checks.Error(
            f"{model._meta.label} declares events and has a composite primary key, which cannot be stored as one text.",
            obj=model,
            id=f"{APP}.E006",
        )


def _check_lists(model: type[Model]) -> Iterator[checks.CheckMessage]:
    """Check each list that the model or one of its abstract bases writes."""
    for cls in model.__mro__:
        if cls is not model and not getattr(getattr(cls, "_meta", None), "abstract", True):
            continue
        if registry.is_mistaken(vars(cls).get(registry.ATTRIBUTE)):
            yield checks.Error(
                f"{cls.__qualname__}.events is {type(vars(cls)[registry.ATTRIBUTE]).__name__}, not a list.",
                hint="Write events = [EventDefinition(...), ...].",
                obj=model,
                id=f"{APP}.E001",
            )
        names: set[str] = set()
        for item in registry.declared_list(cls) or ():
            if not isinstance(item, EventDefinition):
                yield checks.Error(
                    f"{cls.__qualname__}.events contains {item!r}, which is not an EventDefinition.",
                    obj=model,
                    id=f"{APP}.E001",
                )
            elif item.name in names:
                yield checks.Error(
                    f"{cls.__qualname__}.events declares {item.name!r} twice. Names are unique within a model.",
                    obj=model,
                    id=f"{APP}.E002",
                )
            else:
                names.add(item.name)


def _check_parents(model: type[Model], ours: Iterable[registry.Declared]) -> Iterator[checks.CheckMessage]:
    """Check that a name declared by a model is not also declared by a concrete parent of it."""
    owners: dict[str, type[Model]] = {}
    for one in ours:
        other = owners.setdefault(one.name, one.model)
        if other is not one.model:
            yield checks.Error(
                f"{one.name!r} is declared by {other._meta.label} and by its parent {one.model._meta.label}: one save "
                f"would concern two events of that name. Rename one.",
                obj=model,
                id=f"{APP}.E010",
            )


def _check_definition(model: type[Model], definition: EventDefinition) -> Iterator[checks.CheckMessage]:
    where = f"{model._meta.label}: EventDefinition({definition.name!r})"
    yield from _check_date(model, definition, where)
    yield from _check_about(model, definition, where)
    yield from _check_condition(model, definition, where)
    if definition.repeat and definition.date_field is not None:
        yield checks.Error(
            f"{where} has both repeat=True and a date_field.",
            hint="A date arms a new occurrence by being moved; leave repeat out.",
            obj=model,
            id=f"{APP}.E005",
        )
    if definition.repeat and definition.condition is None:
        yield checks.Warning(
            f"{where} has repeat=True and no condition, so there is nothing that could turn true again.",
            obj=model,
            id=f"{APP}.W003",
        )
    if definition.late is not None and definition.date_field is None:
        yield checks.Warning(f"{where} has `late` and no date_field, so it has no effect.", obj=model, id=f"{APP}.W002")


def _check_date(model: type[Model], definition: EventDefinition, where: str) -> Iterator[checks.CheckMessage]:
    name = definition.date_field
    if name is None:
        return
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        dates = [field.name for field in model._meta.concrete_fields if isinstance(field, DateField)]
        yield checks.Error(
            f"{where} names the date_field {name!r}, which {model._meta.label} does not have.",
            hint=f"Date fields of the model: {', '.join(dates) or 'none'}.",
            obj=model,
            id=f"{APP}.E003",
        )
        return
    if not isinstance(field, DateField):
        yield checks.Error(
            f"{where} names the date_field {name!r}, which is a {type(field).__name__}.",
            hint="Use a DateTimeField, or a DateField to mean local midnight.",
            obj=model,
            id=f"{APP}.E004",
        )
    elif not isinstance(field, DateTimeField):
        yield checks.Warning(
            f"{where} names the DateField {name!r}: it occurs at midnight in the time zone {settings.TIME_ZONE!r}.",
            hint="Use a DateTimeField for any other time of day, or silence this check.",
            obj=model,
            id=f"{APP}.W001",
        )


def _check_about(model: type[Model], definition: EventDefinition, where: str) -> Iterator[checks.CheckMessage]:
    if not isinstance(definition.about, str):
        return
    at: Any = model
    for step in definition.about.replace("__", ".").split("."):
        try:
            field: Any = at._meta.get_field(step)
        except FieldDoesNotExist:
            yield checks.Error(
                f"{where} is about {definition.about!r}, but {at._meta.label} has no field {step!r}.",
                hint="Write a path of fields to one object, or a callable.",
                obj=model,
                id=f"{APP}.E009",
            )
            return
        if not field.is_relation or field.related_model is None:
            yield checks.Error(
                f"{where} is about {definition.about!r}, but {step!r} of {at._meta.label} leads to no model.",
                obj=model,
                id=f"{APP}.E009",
            )
            return
        at = field.related_model


def _check_condition(model: type[Model], definition: EventDefinition, where: str) -> Iterator[checks.CheckMessage]:
    """Resolve the names and lookups of a Q, which asks no database anything."""
    if not isinstance(definition.condition, Q):
        return
    try:
        model._base_manager.filter(definition.condition)
    except Exception as error:  # noqa: BLE001 - a lookup may refuse its value in any way
        yield checks.Error(
            f"{where} has the condition {definition.condition!r}, which does not fit {model._meta.label}: {error}",
            hint="Correct the names of fields, lookups and values in the Q.",
            obj=model,
            id=f"{APP}.E012",
        )


def _check_sqlite() -> Iterator[checks.CheckMessage]:
    for alias, database in settings.DATABASES.items():
        options = database.get("OPTIONS") or {}
        deferred = str(options.get("transaction_mode", "DEFERRED")).upper() == "DEFERRED"
        if str(database.get("ENGINE", "")).endswith("sqlite3") and deferred and not _in_memory(database):
            yield checks.Warning(
                f"Database {alias!r} is SQLite with DEFERRED transactions: a save beside a processor may fail with "
                f"'database is locked' at once, whatever the timeout.",
                hint="OPTIONS: {'transaction_mode': 'IMMEDIATE', 'timeout': 20, "
                "'init_command': 'PRAGMA journal_mode=WAL;'}",
                id=f"{APP}.W004",
            )


def _check_aliases() -> Iterator[checks.CheckMessage]:
    """Name the models that are written on an alias where events may not be stored."""
    from automation.events.models import Event

    for model in {one.model for one in registry.declarations().values()}:
        alias = router.db_for_write(model)
        if not router.allow_migrate_model(alias, Event):
            yield checks.Error(
                f"{model._meta.label} is written on {alias!r}, where the routers do not allow automation_events. Its "
                f"events are stored beside it, in the same transaction.",
                hint=f"Let the routers migrate automation_events on {alias!r}.",
                obj=model,
                id=f"{APP}.E011",
            )


def _in_memory(database: dict[str, Any]) -> bool:
    name = str(database.get("NAME", ""))
    return ":memory:" in name or "mode=memory" in name
