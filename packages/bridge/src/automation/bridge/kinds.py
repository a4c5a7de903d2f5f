"""The names of one thing: rows of multi-table parents and children that share a key are what a run may be about."""

from collections.abc import Iterable

from django.apps import apps

from automation.events.registry import entity_type_of, kin
from automation.workflows.ports import EntityRef

__all__ = ["kinds_of", "other_names"]


def kinds_of(entity_type: str) -> tuple[str, ...]:
    """Return the labels of the models whose rows share a key with this one's, its own among them.

    A label of no installed model has no other. Makes no query.
    """
    try:
        model = apps.get_model(entity_type)
    except (LookupError, ValueError):
        # What an event is about may be told by a callable, as any two texts.
        return (entity_type,)
    return tuple(entity_type_of(one) for one in kin(model))


def other_names(entities: Iterable[EntityRef]) -> tuple[EntityRef, ...]:
    """Return what else these rows may be waited for as: an event of a parent is also its child's, and the reverse."""
    given = tuple(entities)
    names = (EntityRef(type=kind, id=each.id) for each in given for kind in kinds_of(each.type))
    return tuple(dict.fromkeys(name for name in names if name not in given))
