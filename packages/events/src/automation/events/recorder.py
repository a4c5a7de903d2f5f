"""A save or a deletion becomes rows, in its own transaction."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Field, Model, Q

from automation.events.callbacks import EventPhase, callback_registry
from automation.events.conditions import decide_in_python
from automation.events.conf import conf
from automation.events.entities import Fresh, dump_entity, read_entities
from automation.events.errors import StaleEvent
from automation.events.keys import current_key
from automation.events.lifecycle.reconcile import Snapshot, Verb, reconcile
from automation.events.lifecycle.status import EventStatus
from automation.events.models import Event
from automation.events.muting import is_muted
from automation.events.ports.wiring import wiring
from automation.events.registry import Declared, declared, declared_by_proxies, entity_type_of, key_text
from automation.events.rows import batches, state_of
from automation.events.settling import Decision, carry_out, retire
from automation.events.snapshots import held_before, snapshot

__all__ = ["deletions_together", "record_deletion", "record_save"]

TRIES = 5


class _Gathered(threading.local):
    def __init__(self) -> None:
        self.deletions: list[tuple[Model, str]] | None = None


_gathered = _Gathered()

Rows = Mapping[tuple[str, str], Event]
"""Current rows by (entity type, event name)."""


def record_save(
    instance: Model, *, is_new: Callable[[type[Model]], bool], update_fields: Collection[str] | None, using: str
) -> None:
    """Bring the rows of a saved instance in line: one INSERT for a new one, one SELECT for one that did not change.

    `is_new` tells whether this save has inserted the instance's row of a model's table, and is the first to be
    recorded. A child that is saved onto a parent that was there before is new, and its parent is not.
    """
    ours = [one for one in declared(type(instance)) if not is_muted(one.entity_type)]
    others = [one for one in declared_by_proxies(type(instance)) if not is_muted(one.entity_type)]
    known = [*ours, *others]
    clash: Exception | None = None
    for attempt in range(TRIES if known else 0):
        untried = attempt == 0 and all(is_new(one.model) for one in known)
        rows: Rows = {} if untried else _read_rows(known, instance, using=using, locked=attempt > 0)
        # A new entity whose key already has rows: an earlier one was deleted behind our back.
        stale = {(one.entity_type, one.name) for one in known if is_new(one.model)} & rows.keys()
        kept = {key: event for key, event in rows.items() if key not in stale}
        try:
            concerned = [*ours, *(one for one in others if (one.entity_type, one.name) in kept)]
            _record(instance, concerned, kept, [rows[key] for key in stale], update_fields, using=using)
        except (StaleEvent, IntegrityError) as error:
            clash = error
            continue
        return
    if clash is not None:
        raise StaleEvent(
            f"The events of {entity_type_of(type(instance))} {instance.pk!r} changed under its save {TRIES} times. "
            f"Save it again."
        ) from clash


def record_deletion(instance: Model, *, using: str) -> None:
    """Cancel what is pending of a deleted instance and make all its rows history, so that its key starts afresh."""
    if is_muted(entity_type_of(type(instance))):
        return
    if _gathered.deletions is None:
        _record_deletions([instance], using=using)
    else:
        # Django empties the key of the instance when all are deleted.
        _gathered.deletions.append((copy.copy(instance), using))


@contextmanager
def deletions_together() -> Iterator[None]:
    """Record all deletions of the block at its end, set by set; open a transaction around it."""
    if _gathered.deletions is not None:
        yield
        return
    deletions: list[tuple[Model, str]] = []
    _gathered.deletions = deletions
    try:
        yield
    finally:
        _gathered.deletions = None
    sets: dict[tuple[type[Model], str], list[Model]] = {}
    for instance, using in deletions:
        sets.setdefault((type(instance), using), []).append(instance)
    for (_, using), instances in sets.items():
        for some in batches(instances, conf().batch):
            _record_deletions(some, using=using)


def _record_deletions(instances: Sequence[Model], *, using: str) -> None:
    """Retire the rows of instances of one model."""
    model = type(instances[0])
    entity_type = entity_type_of(model)
    gone = {key_text(model, instance.pk): instance for instance in instances}
    for attempt in range(TRIES):
        rows = Event.objects.using(using).current().filter(entity_type=entity_type, entity_id__in=list(gone))
        events = list(rows.select_for_update() if attempt else rows)
        if not events:
            return
        try:
            with transaction.atomic(using=using):
                _retire(events, gone, using=using)
        except StaleEvent:
            continue
        return
    raise StaleEvent(f"The events of {entity_type} {', '.join(gone)} changed under its deletion {TRIES} times.")


def _record(
    instance: Model,
    ours: Sequence[Declared],
    rows: Rows,
    stale: Sequence[Event],
    update_fields: Collection[str] | None,
    *,
    using: str,
) -> None:
    decisions = _decide(instance, ours, rows, update_fields, using=using)
    if not stale and all(decision.change.verb is Verb.KEEP for decision in decisions):
        return
    with transaction.atomic(using=using):
        if stale:
            _retire(stale, {}, using=using)
        carry_out(decisions, using=using, now=wiring.clock.now())


def _decide(
    instance: Model, ours: Sequence[Declared], rows: Rows, update_fields: Collection[str] | None, *, using: str
) -> list[Decision]:
    now = wiring.clock.now()

    def look(one: Declared, seen: Fresh) -> Snapshot:
        event = rows.get((one.entity_type, one.name))
        return snapshot(
            one,
            _as_declared(one, seen),
            using=using,
            date=None if event is None else event.at,
            date_kept=event is not None and not _date_written(one, update_fields),
            held_before=held_before(one, event, using=using),
        )

    in_hand = not _must_reread(instance, ours, rows, update_fields, using=using)
    seen = Fresh(instance=instance) if in_hand else _read_again(instance, ours, using=using)
    views = [look(one, seen) for one in ours]
    if in_hand and any(view.failure for view in views):
        # What was assigned is not always what is stored: a number that was given as text, say.
        seen = _read_again(instance, ours, using=using)
        views = [look(one, seen) if view.failure else view for one, view in zip(ours, views, strict=True)]
    decisions = []
    for one, view in zip(ours, views, strict=True):
        event = rows.get((one.entity_type, one.name))
        change = reconcile(view, None if event is None else state_of(event), now)
        decisions.append(Decision(declared=one, entity_id=one.entity_id(instance), event=event, change=change))
    return decisions


def _read_rows(ours: Sequence[Declared], instance: Model, *, using: str, locked: bool) -> Rows:
    keys = [current_key(one.entity_type, one.entity_id(instance), one.name) for one in ours]
    rows = Event.objects.using(using).filter(current_key__in=keys)
    if locked:
        rows = rows.select_for_update()
    return {(event.entity_type, event.event_name): event for event in rows}


def _read_again(instance: Model, ours: Sequence[Declared], *, using: str) -> Fresh:
    """Return the instance as the database has it; the one in hand where it cannot be found."""
    found = read_entities(type(instance), [str(instance.pk)], ours, using=using)
    return next(iter(found.values()), Fresh(instance=instance))


def _as_declared(one: Declared, seen: Fresh) -> Fresh:
    """Return the instance as the proxy that declares, whose methods the condition may use."""
    same_table = one.model._meta.concrete_model is type(seen.instance)._meta.concrete_model
    if not one.model._meta.proxy or isinstance(seen.instance, one.model) or not same_table:
        return seen
    as_proxy = copy.copy(seen.instance)
    as_proxy.__class__ = one.model
    return Fresh(instance=as_proxy, truths=seen.truths)


def _must_reread(
    instance: Model, ours: Sequence[Declared], rows: Rows, update_fields: Collection[str] | None, *, using: str
) -> bool:
    if any(hasattr(value, "resolve_expression") for value in instance.__dict__.values()):
        return True
    written = {field.attname for field in instance._meta.concrete_fields if _is_written(field, update_fields)}
    loaded = instance.__dict__.keys()
    complete = all(f.attname in written & loaded or f.primary_key for f in instance._meta.concrete_fields)
    judged = [one for one in ours if _is_open(one, rows)]
    return (
        (not complete and any(one.definition.condition is not None for one in judged))
        or any(_date_missing(one, instance) for one in judged if _date_written(one, update_fields))
        or any(_is_left_to_database(one, instance, using=using) for one in judged)
    )


def _is_open(one: Declared, rows: Rows) -> bool:
    """Return whether the condition can change anything: the event is new, pending, or may repeat."""
    event = rows.get((one.entity_type, one.name))
    return event is None or event.status == EventStatus.PENDING or one.definition.repeat


def _is_written(field: Field[Any, Any], update_fields: Collection[str] | None) -> bool:
    """Return whether the instance has what was stored; of a generated column it may have what was there before."""
    in_update = update_fields is None or field.name in update_fields or field.attname in update_fields
    return in_update and not field.generated


def _date_written(one: Declared, update_fields: Collection[str] | None) -> bool:
    return update_fields is None or one.definition.date_field is None or one.definition.date_field in update_fields


def _date_missing(one: Declared, instance: Model) -> bool:
    name = one.definition.date_field
    concrete = {field.name: field.attname for field in instance._meta.concrete_fields}
    return name in concrete and concrete[name] not in instance.__dict__


def _is_left_to_database(one: Declared, instance: Model, *, using: str) -> bool:
    condition = one.definition.condition
    return isinstance(condition, Q) and decide_in_python(condition, instance, using=using) is None


def _retire(events: Sequence[Event], gone: Mapping[str, Model], *, using: str) -> None:
    decisions = []
    for event in events:
        instance = gone.get(event.entity_id)
        heard = callback_registry.matching(EventPhase.CANCELLED, event.event_name, event.entity_type)
        data = dump_entity(instance) if instance is not None and heard else None
        decisions.append(retire(event, entity_data=data))
    carry_out(decisions, using=using, now=wiring.clock.now())
