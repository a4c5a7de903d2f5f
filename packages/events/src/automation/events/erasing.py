"""Erasing what is stored about one entity, and nothing that keeps an event from occurring twice."""

from __future__ import annotations

from django.apps import apps
from django.db import transaction

from automation.events.databases import aliases
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.registry import key_text

__all__ = ["erase"]


def erase(entity_type: str, entity_id: str) -> dict[str, int]:
    """Empty payloads, snapshots and error texts about an entity, here and in what is plugged in; give rows per part.

    `entity_type` is `app_label.model`. Events that are `about` the entity lose their payload too.
    """
    label = entity_type.lower()
    entity_id = key_text(apps.get_model(label), entity_id)
    counts = {"events": sum(_erase_events(label, entity_id, using=alias) for alias in aliases())}
    return counts | {name: eraser(label, entity_id) for name, eraser in sorted(wiring.erasers.items())}


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


def _about(entity_type: str, entity_id: str, *, using: str) -> list[object]:
    """Find events about an entity that is not their own, among those that are about anything."""
    rows = Event.objects.using(using).filter(about__isnull=False).values_list("pk", "about")
    return [pk for pk, about in rows.iterator() if [entity_type, entity_id] in (about or [])]
