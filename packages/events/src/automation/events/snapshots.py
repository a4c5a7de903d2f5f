"""What a definition sees in an instance: its date and the truth of its condition, as plain values for the lifecycle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import DateField, Field, Model, Q

from automation.events.conditions import decide_in_python
from automation.events.conf import conf
from automation.events.entities import Fresh
from automation.events.guarded import failure_text, guarded
from automation.events.lifecycle.reconcile import Snapshot
from automation.events.moments import to_instant
from automation.events.payloads import json_object
from automation.events.registry import Declared, entity_type_of
from automation.events.transactions import memory

if TYPE_CHECKING:
    from automation.events.models import Event

__all__ = ["Carried", "carry", "held_before", "snapshot", "with_failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What an occurrence takes along."""

    payload: dict[str, Any] | None = None
    about: list[list[str]] | None = None


def snapshot(
    declared: Declared,
    seen: Fresh,
    *,
    using: str,
    date: datetime | None = None,
    date_kept: bool = False,
    held_before: bool | None = None,
) -> Snapshot:
    """Look at an instance through a definition. What its date or condition raises becomes `failure`.

    `date_kept` says that the save did not write the date field: then `date` is the one already stored.
    """
    definition = declared.definition
    blank = Snapshot(
        scheduled=not definition.is_immediate(),
        repeat=definition.repeat,
        late=definition.late,
        late_limit=conf().late_limit,
        held_before=held_before,
    )
    try:
        with guarded():
            at = date if date_kept else _date(declared, seen.instance)
    except Exception as error:  # noqa: BLE001 - the date may be a property of the user's that raises anything
        return with_failure(blank, error)
    dated = replace(blank, at=at)
    try:
        with guarded():
            return replace(dated, holds=_holds(declared, seen, using=using))
    except Exception as error:  # noqa: BLE001 - a user's condition may raise anything
        return with_failure(dated, error)


def held_before(declared: Declared, event: Event | None, *, using: str) -> bool | None:
    """Return the truth at the last commit for repeating events: turns within one transaction are none."""
    if not declared.definition.repeat or event is None:
        return None
    held: bool | None = memory(using).setdefault(("held", event.id), event.condition_held)
    return held


def with_failure(seen: Snapshot, error: Exception) -> Snapshot:
    """Return the same view with what was raised in it."""
    return replace(seen, holds=False, failure=failure_text(error))


def carry(declared: Declared, instance: Model, *, using: str) -> Carried:
    """Ask the definition what the occurrence takes along; passes on what the user's code raises."""
    definition = declared.definition
    with guarded():
        payload = None if definition.payload is None else json_object(definition.payload(instance))
        about = None if definition.about is None else list(_about(definition.about, instance))
    return Carried(payload=payload, about=about)


def _date(declared: Declared, instance: Model) -> datetime | None:
    name = declared.definition.date_field
    if name is None:
        return None
    column = instance._meta.get_field(name)
    value = getattr(instance, column.attname if isinstance(column, Field) else name)
    return to_instant(column.to_python(value) if isinstance(column, DateField) else value)


def _holds(declared: Declared, seen: Fresh, *, using: str) -> bool:
    condition = declared.definition.condition
    if not isinstance(condition, Q):
        return declared.definition.should_create(seen.instance)
    known = seen.truths.get(declared.name)
    if known is None:
        known = decide_in_python(condition, seen.instance, using=using)
    return declared.definition.should_create(seen.instance) if known is None else known


def _about(about: Any, instance: Model) -> Any:
    found = about(instance) if callable(about) else _follow(about, instance)
    several = [found] if isinstance(found, Model) else found
    for one in several or ():
        if one is not None:
            yield [entity_type_of(type(one)), str(one.pk)] if isinstance(one, Model) else list(one)


def _follow(path: str, instance: Model) -> Any:
    """Follow a path of fields; the last foreign key is not read, its column says enough."""
    found: Any = instance
    *steps, last = path.replace("__", ".").split(".")
    for step in steps:
        found = getattr(found, step)
        if found is None:
            return None
    column = type(found)._meta.get_field(last)
    if not column.is_relation or not isinstance(column, Field) or column.remote_field is None:
        return getattr(found, last)
    value = getattr(found, column.attname)
    target = column.related_model
    assert isinstance(target, type)
    by_key = column.target_field.primary_key  # type: ignore[attr-defined]
    if not by_key:
        return getattr(found, last)
    return [] if value is None else [[entity_type_of(target), str(value)]]
