"""Which models declare which events: read from their `events` lists once, kept until a model is added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import GeneratorType
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.backends.utils import format_number
from django.db.models import DecimalField, Field, ForeignKey, Model, OneToOneRel

from automation.events.definitions import EventDefinition

__all__ = [
    "Declared",
    "declarations",
    "declared",
    "declared_by_proxies",
    "declared_list",
    "definitions_for",
    "entity_type_of",
    "forget",
    "is_mistaken",
    "is_ours",
    "key_text",
    "kin",
    "primary_key",
    "shares_key",
]

ATTRIBUTE = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One definition at its place: the model that declares it, and what its rows are stored under."""

    definition: EventDefinition
    model: type[Model]
    """The declaring model; a proxy stays a proxy, so that conditions may use its methods."""
    entity_type: str
    """`app_label.model` of the concrete model, lower-case."""

    @property
    def name(self) -> str:
        """The event's name."""
        return self.definition.name

    def entity_id(self, instance: Model) -> str:
        """Return the stored key of the declaring model's part of `instance`."""
        return key_text(self.model, getattr(instance, primary_key(self.model).attname))


_by_model: dict[type[Model], tuple[Declared, ...]] = {}
_by_proxies: dict[type[Model], tuple[Declared, ...]] = {}
_by_key: dict[tuple[str, str], Declared] = {}
_complete = False


def declared(model: type[Model]) -> tuple[Declared, ...]:
    """Return what saving an instance of `model` concerns: its own definitions and those of its concrete parents."""
    if model not in _by_model:
        _by_model[model] = tuple(_collect(model))
    return _by_model[model]


def declared_by_proxies(model: type[Model]) -> tuple[Declared, ...]:
    """Return what other proxies of the table declare: their rows follow a save of `model`, but are not made by it."""
    if model not in _by_proxies:
        own = {(one.entity_type, one.name) for one in declared(model)}
        _by_proxies[model] = tuple(
            one
            for key, one in declarations().items()
            if key not in own and one.model._meta.proxy and one.entity_type == entity_type_of(model)
        )
    return _by_proxies[model]


def definitions_for(entity_type: str, event_name: str) -> Declared | None:
    """Return the definition that a stored row belongs to; None when the code no longer has it."""
    return declarations().get((entity_type, event_name))


def declarations() -> dict[tuple[str, str], Declared]:
    """Return every definition of every installed model by (entity type, event name)."""
    global _complete  # noqa: PLW0603 - the registry is the process's own
    if not _complete:
        for model in apps.get_models(include_auto_created=True):
            for one in declared(model):
                _by_key.setdefault((one.entity_type, one.name), one)
        _complete = apps.models_ready
    return _by_key


def forget() -> None:
    """Read all models again at the next question; called when a model class appears."""
    global _complete  # noqa: PLW0603 - the registry is the process's own
    _complete = False
    _by_model.clear()
    _by_proxies.clear()
    _by_key.clear()


def is_ours(value: object) -> bool:
    """Return whether a class attribute called `events` is a list meant for us; relations and fields are not."""
    return isinstance(value, list | tuple) and any(isinstance(item, EventDefinition) for item in value)


def is_mistaken(value: object) -> bool:
    """Return whether a class attribute called `events` is meant for us, and is not a list: nothing of it counts."""
    if isinstance(value, set | frozenset):
        return any(isinstance(item, EventDefinition) for item in value)
    return isinstance(value, EventDefinition | GeneratorType)


def declared_list(cls: type) -> Sequence[Any] | None:
    """Return the list that this very class declares, or None; what it inherits is not looked at."""
    value = vars(cls).get(ATTRIBUTE)
    return value if is_ours(value) or value in ([], ()) else None


def entity_type_of(model: type[Model]) -> str:
    """Return the label that rows about instances of `model` are stored under."""
    return (model._meta.concrete_model or model)._meta.label_lower


def primary_key(model: type[Model]) -> Field[Any, Any]:
    """Return the field that is the primary key."""
    key = (model._meta.concrete_model or model)._meta.pk
    assert key is not None, f"{model!r} is abstract and has no primary key"
    return key


def shares_key(model: type[Model], parent: type[Model]) -> bool:
    """Return whether rows of `model` have the key of their row of `parent`; those of a second parent have their own."""
    wanted = parent._meta.concrete_model or parent
    while (key := primary_key(model)).model is not wanted:
        if key.remote_field is None or not getattr(key.remote_field, "parent_link", False):
            return False
        model = key.remote_field.model
    return True


def kin(model: type[Model]) -> tuple[type[Model], ...]:
    """Return the models whose rows share a key with the model's by multi-table inheritance, itself among them.

    They begin with the one whose key it is. One key among them is one thing, whatever it is loaded as.
    """
    return tuple(_with_children(_owner_of_key(model)))


def key_text(model: type[Model], value: Any) -> str:
    """Return a primary key as it is stored: one text for `1` and `"1"`, and for the ways of writing a UUID.

    It is the text of what the database gives back, which is not always what was given to it: a decimal has all its
    places there, and a time is in UTC.
    """
    key = primary_key(model)
    while isinstance(key, ForeignKey):
        key = key.target_field
    try:
        return _as_given_back(key, key.to_python(value))
    except ValidationError:
        return str(value)


def _owner_of_key(model: type[Model]) -> type[Model]:
    key = primary_key(model)
    while key.remote_field is not None and getattr(key.remote_field, "parent_link", False):
        key = primary_key(key.remote_field.model)
    return key.model


def _with_children(model: type[Model]) -> Iterable[type[Model]]:
    yield model
    # A link may be hidden (`related_name="+"`), and one that is not the key leads to a child with a key of its own.
    for link in model._meta.get_fields(include_parents=False, include_hidden=True):
        if isinstance(link, OneToOneRel) and link.parent_link and link.field.primary_key:
            yield from _with_children(link.related_model)


def _as_given_back(key: Field[Any, Any], value: Any) -> str:
    if isinstance(value, Decimal) and isinstance(key, DecimalField):
        return str(format_number(value, key.max_digits, key.decimal_places))
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return str(value)


def _collect(model: type[Model]) -> Iterable[Declared]:
    if model._meta.abstract or model.__module__ == "__fake__":
        return
    seen: set[tuple[str, str]] = set()
    for declaring in _declaring_models(model):
        entity_type = entity_type_of(declaring)
        for definition in _definitions_of(declaring):
            if (entity_type, definition.name) not in seen:
                seen.add((entity_type, definition.name))
                yield Declared(definition=definition, model=declaring, entity_type=entity_type)


def _declaring_models(model: type[Model]) -> Iterable[type[Model]]:
    """Yield the model itself, then its concrete ancestors (a proxy's base and multi-table parents)."""
    for cls in model.__mro__:
        if isinstance(cls, type(Model)) and hasattr(cls, "_meta") and not cls._meta.abstract:
            yield cls


def _definitions_of(model: type[Model]) -> Iterable[EventDefinition]:
    """Yield the definitions declared by the model itself and its abstract bases, the nearest first.

    An empty list ends the search: a model that writes `events = []` takes no more from its abstract bases.
    """
    for cls in model.__mro__:
        if cls is not model and _is_concrete(cls):
            continue
        found = declared_list(cls)
        if found is None or _belongs_to_concrete(cls, model):
            continue
        yield from (item for item in found if isinstance(item, EventDefinition))
        if not found:
            return


def _is_concrete(cls: type) -> bool:
    meta = getattr(cls, "_meta", None)
    return meta is not None and not meta.abstract


def _belongs_to_concrete(cls: type, model: type[Model]) -> bool:
    """Return whether an abstract base or mixin reaches `model` only through a concrete ancestor, whose it then is."""
    if cls is model:
        return False
    through = [base for base in model.__mro__ if base is not model and _is_concrete(base)]
    return any(issubclass(base, cls) for base in through)
