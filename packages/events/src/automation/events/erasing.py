"""Erasing what is stored about one entity, and nothing that keeps an event from occurring twice."""

from __future__ import annotations

from uuid import UUID

from django.apps import apps
from django.db import transaction
from django.db.models import Model

from automation.events.databases import aliases
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.registry import entity_type_of, key_text, kin, primary_key

__all__ = ["erase"]


def erase(entity_type: str, entity_id: str) -> dict[str, int]:
    """Empty payloads, snapshots and error texts about an entity, here and in what is plugged in; give rows per part.

    `entity_type` is `app_label.model`. Events that are `about` the entity lose their payload too.
    """
    counts = {"events": 0} | dict.fromkeys(sorted(wiring.erasers), 0)
    for label, key in _parts(apps.get_model(entity_type.lower()), entity_id):
        counts["events"] += sum(_erase_events(label, key, using=alias) for alias in aliases())
        for name, eraser in sorted(wiring.erasers.items()):
            counts[name] += eraser(label, key)
    return counts


def _parts(model: type[Model], entity_id: str) -> list[tuple[str, str]]:
    """Return what the entity is stored under: as itself, and as each of its parents and children of other tables.

    A child with a key of its own is not found from such a parent. The key of the parent is only known as long as the
    child exists.
    """
    parts = {entity_type_of(one): key_text(one, entity_id) for one in kin(model)}
    parents = [parent for parent in model._meta.get_parent_list() if not parent._meta.proxy]
    rows = (row for alias in aliases() for row in model._base_manager.using(alias).filter(pk=entity_id))
    child = next(rows, None) if parents else None
    if child is not None:
        for parent in parents:
            parts.setdefault(entity_type_of(parent), key_text(parent, getattr(child, primary_key(parent).attname)))
    return list(parts.items())


def _erase_events(entity_type: str, entity_id: str, *, using: str) -> int:
    with transaction.atomic(using=using):
        own = Event.objects.using(using).filter(entity_type=entity_type, entity_id=entity_id)
        ids = [*own.values_list("pk", flat=True), *_about(entity_type, entity_id, using=using)]
        rows = Event.objects.using(using).filter(pk__in=ids)
        EventDelivery.objects.using(using).filter(event_id__in=ids).update(error="")
        for delivery in EventDelivery.objects.using(using).filter(event_id__in=ids, data__isnull=False):
            delivery.data = {**(delivery.data or {}), "payload": None}
            delivery.save(using=using, update_fields=["data"])
        return int(rows.update(payload=None, entity_data=None, error=""))


def _about(entity_type: str, entity_id: str, *, using: str) -> list[UUID]:
    """Find events about an entity that is not their own, among those that are about anything."""
    rows = Event.objects.using(using).filter(about__isnull=False).values_list("pk", "about")
    return [pk for pk, about in rows.iterator() if [entity_type, entity_id] in (about or [])]
