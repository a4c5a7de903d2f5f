"""Model instances by name: what a run, an event or a wait is about."""

from dataclasses import dataclass
from typing import Any

from automation.workflows.errors import DefinitionError

__all__ = ["EntityRef", "entity_of", "label_of", "names_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRef:
    """A model instance by name: what a run or an event is about."""

    type: str
    """`app_label.model`, lower-case."""
    id: str
    """`str(pk)`."""

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


def entity_of(thing: Any) -> EntityRef:
    """Return the reference of a model instance; a reference is given back as it is.

    Reads nothing but `_meta` and `pk`, so that it needs no Django. Raises DefinitionError for anything else.
    """
    if isinstance(thing, EntityRef):
        return thing
    meta = getattr(thing, "_meta", None)
    if meta is None or getattr(thing, "pk", None) is None:
        raise DefinitionError(
            f"entity={thing!r} is not a saved model instance. Pass the instance itself, EntityRef(type=..., id=...), "
            "or ANY for every entity."
        )
    return EntityRef(type=str(meta.concrete_model._meta.label_lower), id=str(thing.pk))


def names_of(instance: Any) -> tuple[EntityRef, ...]:
    """Return what runs may call a model instance: itself, and its row of each multi-table parent, by that row's key.

    Reads nothing but `_meta` and the keys, like `entity_of`.
    """
    meta = instance._meta
    tables = dict.fromkeys([meta.concrete_model, *(each for each in meta.get_parent_list() if not each._meta.proxy)])
    return tuple(
        EntityRef(type=str(table._meta.label_lower), id=str(getattr(instance, table._meta.pk.attname)))
        for table in tables
    )


def label_of(model: type[Any]) -> str | None:
    """Return what a model's instances are referred to by: its own label, or that of the table of a proxy.

    None for what is no model with a table.
    """
    meta = getattr(model, "_meta", None)
    if meta is None or meta.abstract:
        return None
    return str((meta.concrete_model or model)._meta.label_lower)
