"""Writing rows of events: one guarded UPDATE for all that change, one INSERT for all that are new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Case, F, Field, Q, Value, When
from django.db.models.functions import Cast

from automation.events.conf import conf
from automation.events.errors import StaleEvent
from automation.events.keys import current_key, uuid7
from automation.events.lifecycle.reconcile import State
from automation.events.lifecycle.status import EventStatus
from automation.events.models import Event
from automation.events.registry import Declared

__all__ = ["as_read", "batches", "insert_rows", "new_row", "state_of", "update_rows", "values_of"]

T = TypeVar("T")


def state_of(event: Event) -> State:
    """Return the part of a row that the lifecycle decides about."""
    return State(
        status=EventStatus(event.status),
        at=event.at,
        next_at=event.next_at,
        generation=event.generation,
        previous_at=event.previous_at,
        condition_held=event.condition_held,
        found_false_at=event.found_false_at,
        why=event.why,
        error=event.error,
    )


def values_of(state: State, *, before: State | None, now: datetime) -> dict[str, Any]:
    """Return the columns that say `state`; `before` is what the row said until now."""
    pending = before is None or before.status is EventStatus.PENDING
    settles = pending and state.status is not EventStatus.PENDING
    return {
        "status": state.status,
        "at": state.at,
        "next_at": state.next_at,
        "generation": state.generation,
        "previous_at": state.previous_at,
        "condition_held": state.condition_held,
        "found_false_at": state.found_false_at,
        "why": state.why,
        "error": state.error,
        "updated_at": now,
        **({"settled_at": now} if settles else {}),
        **({"occurred_at": now} if settles and state.status is EventStatus.OCCURRED else {}),
    }


def new_row(declared: Declared, entity_id: str, state: State, *, using: str, now: datetime) -> Event:
    """Return the unsaved current row of a definition for an entity."""
    types = ContentType.objects.db_manager(using)
    return Event(
        id=uuid7(),
        event_name=declared.name,
        entity_type=declared.entity_type,
        entity_id=entity_id,
        model_type_id=types.get_for_model(declared.model).pk,
        current_key=current_key(declared.entity_type, entity_id, declared.name),
        created_at=now,
        **values_of(state, before=None, now=now),
    )


def insert_rows(events: Sequence[Event], *, using: str) -> None:
    """Insert new rows, as many per statement as the database takes."""
    if events:
        Event.objects.using(using).bulk_create(events, batch_size=conf().batch)


def update_rows(changes: Mapping[Event, Mapping[str, Any]], *, using: str) -> None:
    """Write new values into rows that are still as they were read; the instances given are updated, too.

    Raises `StaleEvent` when somebody was faster with any of them: the caller rolls back and looks again.
    """
    changed = {event: _differences(event, values) for event, values in changes.items()}
    for part in batches(sorted(changed, key=lambda event: event.id), _batch(using, changed)):
        _update({event: changed[event] for event in part}, using=using)
    for event, values in changes.items():
        for name, value in values.items():
            setattr(event, name, value)
        event.revision += 1


def as_read(events: Iterable[Event]) -> Q:
    """Return the guard: these rows, at the revisions at which they were read."""
    by_revision = defaultdict(list)
    for event in events:
        by_revision[event.revision].append(event.pk)
    guard = Q()
    for revision, ids in sorted(by_revision.items()):
        guard |= Q(revision=revision, pk__in=ids)
    return guard


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _differences(event: Event, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if getattr(event, name) != value}


def _batch(using: str, changed: Mapping[Event, Mapping[str, Any]]) -> int:
    names = {name for values in changed.values() for name in values}
    columns = [Event._meta.get_field(name) for name in sorted(names)]
    allowed = connections[using].ops.bulk_batch_size(["pk", "pk", *columns, *columns], list(changed))
    return max(1, min(conf().batch, allowed))


def _update(changed: Mapping[Event, Mapping[str, Any]], *, using: str) -> None:
    names = sorted({name for values in changed.values() for name in values})
    columns = {
        name: _column(name, {event: values.get(name, getattr(event, name)) for event, values in changed.items()}, using)
        for name in names
    }
    rows = Event.objects.using(using).filter(as_read(changed))
    written = rows.update(**columns, revision=F("revision") + 1)
    if written != len(changed):
        raise StaleEvent(f"{len(changed) - written} of {len(changed)} events were changed by somebody else meanwhile.")


def _column(name: str, values: Mapping[Event, Any], using: str) -> Any:
    """Return the new value of one column: itself where all rows agree, else one branch for each different value."""
    column = Event._meta.get_field(name)
    assert isinstance(column, Field)
    first, *others = values.values()
    if all(type(value) is type(first) and value == first for value in others):
        return first
    branches = [
        When(pk__in=ids, then=Value(value, output_field=column)) for value, ids in _grouped(values) if value is not None
    ]
    case = Case(*branches, output_field=column)
    return Cast(case, output_field=column) if connections[using].features.requires_casted_case_in_updates else case


def _grouped(values: Mapping[Event, Any]) -> list[tuple[Any, list[Any]]]:
    """Group rows by their value; JSON values are not hashable, so they are told apart by their text."""
    groups: dict[str, tuple[Any, list[Any]]] = {}
    for event, value in values.items():
        groups.setdefault(repr(value), (value, []))[1].append(event.pk)
    return list(groups.values())
