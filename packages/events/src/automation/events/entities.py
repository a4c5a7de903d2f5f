"""The instances that events are about: read afresh, in bulk, past managers that hide rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import Field, Model, Q, QuerySet

from automation.events.conditions import annotation
from automation.events.guarded import guarded
from automation.events.registry import Declared, definitions_for, key_text

if TYPE_CHECKING:
    from automation.events.models import Event
    from automation.events.querysets import EventQuerySet

__all__ = [
    "Fresh",
    "currently_valid",
    "dump_entity",
    "existing_ids",
    "hold_entities",
    "is_valid",
    "read_entities",
    "read_entity",
    "read_for",
]

TRUTH = "automation_truth_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """An instance as the database has it, with the database's answers to the conditions written as a Q."""

    instance: Model
    truths: Mapping[str, bool] = field(default_factory=dict)


def read_entities(
    model: type[Model], entity_ids: Iterable[str], declared: Iterable[Declared], *, using: str
) -> dict[str, Fresh]:
    """Read instances and the answers to the Q conditions of `declared` in one statement, by their keys as text.

    Keys that cannot be keys of the model (its key changed type) are left out, like those of rows that are gone. When
    the database refuses one of the conditions, the instances come without answers: then each is asked by itself, and
    only the one that is wrong fails.
    """
    keys = [key for key in (_key(model, entity_id) for entity_id in entity_ids) if key is not None]
    asked = [one for one in declared if isinstance(one.definition.condition, Q)]
    if not keys:
        return {}
    if asked:
        # A Q may raise anything, when it is built or asked. If the rows cannot be read at all, that shows below.
        with suppress(Exception), guarded():
            return _read(model, keys, asked, using=using)
    return _read(model, keys, [], using=using)


def _read(model: type[Model], keys: Sequence[Any], asked: Sequence[Declared], *, using: str) -> dict[str, Fresh]:
    aliases = {f"{TRUTH}{number}": one for number, one in enumerate(asked)}
    rows = model._base_manager.using(using).filter(pk__in=keys)
    rows = rows.annotate(**{alias: annotation(model, _q(one), using=using) for alias, one in aliases.items()})
    return {
        key_text(model, row.pk): Fresh(
            instance=row, truths={one.name: bool(getattr(row, alias)) for alias, one in aliases.items()}
        )
        for row in rows
    }


def read_for(events: Iterable[Event], *, using: str) -> dict[tuple[str, str], Fresh]:
    """Read the entities of these events, in one statement for each model, by their types and keys."""
    wanted: dict[tuple[str, type[Model]], tuple[set[str], dict[str, Declared]]] = {}
    for event in events:
        declared = definitions_for(event.entity_type, event.event_name)
        if declared is not None:
            ids, names = wanted.setdefault((event.entity_type, declared.model), (set(), {}))
            ids.add(event.entity_id)
            names[declared.name] = declared
    return {
        (entity_type, entity_id): fresh
        for (entity_type, model), (ids, names) in wanted.items()
        for entity_id, fresh in read_entities(model, ids, names.values(), using=using).items()
    }


def hold_entities(keys: Mapping[UUID, tuple[str, str]], *, using: str) -> set[UUID]:
    """Lock entities against saves until the transaction ends; give those (of `keys`) that nobody else is saving.

    Where rows cannot be locked, an open transaction keeps other writers out, and all are given.
    """
    features = connections[using].features
    if not features.has_select_for_update:
        return set(keys)
    by_type: dict[str, dict[str, list[UUID]]] = {}
    for pk, (entity_type, entity_id) in keys.items():
        by_type.setdefault(entity_type, {}).setdefault(entity_id, []).append(pk)
    held: set[UUID] = set()
    for entity_type, wanted in sorted(by_type.items()):
        model = apps.get_model(entity_type)
        ids = [key for key in (_key(model, entity_id) for entity_id in wanted) if key is not None]
        # Not by the model's manager: what it annotates or groups by cannot be locked.
        rows: QuerySet[Model] = QuerySet(model=model).using(using).filter(pk__in=ids).order_by("pk")
        rows = rows.select_for_update(
            skip_locked=features.has_select_for_update_skip_locked, no_key=features.has_select_for_no_key_update
        )
        held.update(pk for row in rows for pk in wanted[key_text(model, row.pk)])
    return held


def read_entity(event: Event) -> Model | None:
    """Return the instance an event is about, or None when there is none (any more)."""
    model = _model(event)
    if model is None:
        return None
    if event.entity_data is not None:
        return _load_entity(model, event.entity_data, using=event._state.db)
    key = _key(model, event.entity_id)
    return None if key is None else model._base_manager.using(event._state.db).filter(pk=key).first()


def existing_ids(entity_type: str, entity_ids: Iterable[str], *, using: str) -> set[str] | None:
    """Return which of these keys have a row; None when the model is not installed, so that nobody can tell."""
    try:
        model = apps.get_model(entity_type)
    except (LookupError, ValueError):
        return None
    keys = [key for key in (_key(model, entity_id) for entity_id in entity_ids) if key is not None]
    found = model._base_manager.using(using).filter(pk__in=keys).values_list("pk", flat=True)
    return {key_text(model, key) for key in found}


def is_valid(event: Event) -> bool:
    """Return whether the entity exists and the condition holds; reads the entity anew."""
    event.__dict__.pop("entity", None)
    declared = definitions_for(event.entity_type, event.event_name)
    if declared is None or event.entity is None or event.entity_data is not None:
        return False
    return _holds(declared, event.entity, using=event._state.db or "default")


def currently_valid(rows: EventQuerySet, *, include_immediate: bool, using: str) -> list[Event]:
    """Return the events among `rows` whose entity exists and whose condition holds, by time."""
    events = list(rows)
    fresh = read_for(events, using=using)
    valid = []
    for event in events:
        declared = definitions_for(event.entity_type, event.event_name)
        found = fresh.get((event.entity_type, event.entity_id))
        if declared is None or found is None or (declared.definition.is_immediate() and not include_immediate):
            continue
        if _holds(declared, found.instance, using=using, known=found.truths.get(declared.name)):
            valid.append(event)
    return sorted(valid, key=lambda event: (event.at or event.created_at, event.id))


def dump_entity(instance: Model) -> dict[str, Any]:
    """Return the columns of an instance as JSON values, for the callbacks that hear of its deletion."""
    dumped: dict[str, Any] = {}
    for column in instance._meta.concrete_fields:
        if column.attname not in instance.__dict__:
            continue
        value = column.value_from_object(instance)
        dumped[column.attname] = None if value is None else column.value_to_string(instance)
    return dumped


def _load_entity(model: type[Model], dumped: Mapping[str, Any], *, using: str | None) -> Model:
    known = {column.attname: column for column in model._meta.concrete_fields}
    names = [name for name in known if name in dumped]
    return model.from_db(using, names, [_value(known[name], dumped[name]) for name in names])


def _value(column: Field[Any, Any], dumped: Any) -> Any:
    return None if dumped is None else column.to_python(dumped)


def _model(event: Event) -> type[Model] | None:
    declared = definitions_for(event.entity_type, event.event_name)
    if declared is not None:
        return declared.model
    try:
        return apps.get_model(event.entity_type)
    except (LookupError, ValueError):
        return None


def _key(model: type[Model], entity_id: str) -> Any:
    assert model._meta.pk is not None
    try:
        return model._meta.pk.to_python(entity_id)
    except ValidationError:
        return None


def _holds(declared: Declared, instance: Model, *, using: str, known: bool | None = None) -> bool:
    if known is not None:
        return known
    try:
        with guarded():
            return declared.definition.should_create(instance)
    except Exception:  # noqa: BLE001 - a user's condition may raise anything; what cannot be judged is not valid
        return False


def _q(declared: Declared) -> Q:
    assert isinstance(declared.definition.condition, Q)
    return declared.definition.condition
