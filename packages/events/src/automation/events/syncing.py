"""Bringing the rows of many entities in line at once, for whatever sends no signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.models import Model, QuerySet

from automation.events.conf import conf
from automation.events.databases import written_to
from automation.events.entities import Fresh, read_entities
from automation.events.errors import StaleEvent
from automation.events.lifecycle.reconcile import Verb, reconcile
from automation.events.lifecycle.status import EventStatus
from automation.events.models import Event
from automation.events.ports.wiring import wiring
from automation.events.registry import Declared, declared, key_text, primary_key, shares_key
from automation.events.rows import batches, state_of, update_rows
from automation.events.settling import Decision, carry_out, retire
from automation.events.snapshots import held_before, snapshot
from automation.events.transactions import was_taken_back

__all__ = ["SyncReport", "sync", "sync_keys"]

TRIES = 5

Rows = Mapping[tuple[str, str, str], Event]
"""Current rows by (entity type, entity id, event name)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a sync did, or would do."""

    entities: int = 0
    created: int = 0
    changed: int = 0
    rearmed: int = 0
    retired: int = 0
    """Rows of entities that are gone."""

    def __add__(self, other: SyncReport) -> SyncReport:
        return SyncReport(
            **{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(SyncReport)}
        )

    @property
    def in_line(self) -> bool:
        """Whether nothing had to be done."""
        return not (self.created or self.changed or self.rearmed or self.retired)


def sync(
    queryset: QuerySet[Any],
    *,
    dry_run: bool = False,
    definitions: Callable[[Declared], bool] = lambda _: True,
    progress: Callable[[int], None] = lambda _: None,
) -> SyncReport:
    """Bring the rows of all objects of `queryset` in line, in chunks, each in a transaction of its own.

    `dry_run` only counts. `definitions` leaves some out. `progress` is called with the number of entities of each
    finished chunk. Safe to call twice, and beside saves and processors.
    """
    model, using = queryset.model, written_to(queryset)
    queryset = queryset.using(using)
    ours = [one for one in declared(model) if definitions(one)]
    report = SyncReport()
    for keys in _chunks(queryset) if ours else ():
        report += sync_keys(model, keys, ours, using=using, dry_run=dry_run)
        progress(len(keys))
    return report


def sync_keys(
    model: type[Model], keys: Sequence[Any], ours: Sequence[Declared], *, using: str, dry_run: bool = False
) -> SyncReport:
    """Bring the rows of the entities with these primary keys in line, in one transaction."""
    clash: Exception | None = None
    own = not connections[using].in_atomic_block
    for attempt in range(TRIES):
        try:
            with transaction.atomic(using=using):
                return _sync_once(model, keys, ours, using=using, dry_run=dry_run, locked=attempt > 0)
        except (StaleEvent, IntegrityError) as error:
            clash = error
        except OperationalError as error:
            if not own or not was_taken_back(error):
                raise
            clash = error
    raise StaleEvent(f"The events of {model._meta.label} changed {TRIES} times while they were synced.") from clash


def _sync_once(
    model: type[Model], keys: Sequence[Any], ours: Sequence[Declared], *, using: str, dry_run: bool, locked: bool
) -> SyncReport:
    # The rows first, then the entities: whoever changes an entity in between changes its row's revision too.
    rows = _read_rows(model, keys, ours, using=using, locked=locked)
    fresh = read_entities(model, [key_text(model, key) for key in keys], ours, using=using)
    decisions = list(_decide(model, rows, fresh, keys, ours, using=using))
    if not dry_run:
        now = wiring.clock.now()
        carry_out(decisions, using=using, now=now)
        _confirm(decisions, using=using, now=now)
    verbs = [decision.change.verb for decision in decisions if not decision.retires]
    return SyncReport(
        entities=len(keys),
        created=verbs.count(Verb.INSERT),
        changed=verbs.count(Verb.AMEND),
        rearmed=verbs.count(Verb.REARM),
        retired=sum(decision.retires for decision in decisions),
    )


def _confirm(decisions: Sequence[Decision], *, using: str, now: datetime) -> None:
    """Leave a trace in due rows that were found right: a processor that saw them wrong must look again."""
    right = [one.event for one in decisions if one.event is not None and one.change.verb is Verb.KEEP]
    due = [event for event in right if event.status == EventStatus.PENDING and event.next_at and event.next_at <= now]
    update_rows({event: {"updated_at": now} for event in due}, using=using)


def _decide(
    model: type[Model],
    rows: Rows,
    fresh: Mapping[str, Fresh],
    keys: Sequence[Any],
    ours: Sequence[Declared],
    *,
    using: str,
) -> Iterator[Decision]:
    now = wiring.clock.now()
    for key in (key_text(model, key) for key in keys):
        seen = fresh.get(key)
        for one in ours:
            if seen is None and not shares_key(model, one.model):
                continue  # the key of its second parent is gone with it; `retire_vanished` finds those rows
            entity_id = key if seen is None else one.entity_id(seen.instance)
            event = rows.get((one.entity_type, entity_id, one.name))
            if seen is not None:
                existing = None if event is None else state_of(event)
                view = snapshot(one, seen, using=using, held_before=held_before(one, event, using=using))
                change = reconcile(view, existing, now)
                yield Decision(declared=one, entity_id=entity_id, event=event, change=change)
            elif event is not None:
                yield retire(event, entity_data=None)


def _read_rows(model: type[Model], keys: Sequence[Any], ours: Sequence[Declared], *, using: str, locked: bool) -> Rows:
    found: dict[tuple[str, str, str], Event] = {}
    for entity_type, declaring in sorted({(one.entity_type, one.model) for one in ours}, key=lambda pair: pair[0]):
        ids = [key_text(model, key) for key in keys]
        if not shares_key(model, declaring):
            held = model._base_manager.using(using).filter(pk__in=keys)
            ids = [key_text(declaring, key) for key in held.values_list(primary_key(declaring).name, flat=True)]
        rows = Event.objects.using(using).current().filter(entity_type=entity_type, entity_id__in=ids)
        for event in rows.select_for_update() if locked else rows:
            found[event.entity_type, event.entity_id, event.event_name] = event
    return found


def _chunks(queryset: QuerySet[Any]) -> Iterator[Sequence[Any]]:
    """Yield the primary keys of `queryset` in pieces, without holding a cursor open while rows are written."""
    size = conf().batch
    if queryset.query.is_sliced or queryset.query.combinator or queryset.query.distinct_fields:
        yield from batches(list(queryset.values_list("pk", flat=True)), size)
        return
    keys = queryset.order_by("pk").values_list("pk", flat=True).distinct()
    chunk = list(keys[:size])
    while chunk:
        yield chunk
        chunk = list(keys.filter(pk__gt=chunk[-1])[:size]) if len(chunk) == size else []
