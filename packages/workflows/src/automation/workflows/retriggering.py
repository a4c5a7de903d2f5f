"""Starts that were reserved by another release follow the triggers of this one: moved, or taken back.

Only what has not begun is touched. Each chunk is one SELECT and at most an UPDATE for each new offset, in a transaction
of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, DateTimeField, DurationField, ExpressionWrapper, F, Value, When

from automation.workflows.authoring.definitions import WorkflowDefinition
from automation.workflows.authoring.registry import registry
from automation.workflows.models import WorkflowRun
from automation.workflows.ports.wiring import wiring
from automation.workflows.rows import wait_columns
from automation.workflows.runs.values import EntityRef, Pause, WorkflowStatus

__all__ = ["retrigger", "withdraw_untriggered"]

_BATCH = 500
_NONE = timedelta(0)
_GONE = "its workflow no longer has a start reserved for this event"
_MOVED = "not begun: reserved anew by a later release of its workflow"


@dataclass(frozen=True, slots=True)
class _Start:
    """How a start is reserved: what a release decides about it."""

    offset: timedelta
    version: str
    step: str


@dataclass(frozen=True, slots=True)
class _Reserved:
    """A reserved start, as far as its trigger matters."""

    id: UUID
    name: str
    start: _Start
    occurrence_id: str
    event_name: str
    entity: EntityRef

    @property
    def definition(self) -> WorkflowDefinition | None:
        """The workflow of this release that its event starts."""
        # Where a deploy has left open which version is current, nothing is to be lost by it.
        definition = registry.newest(self.name) or registry.exact(self.name, self.start.version)
        trigger = None if definition is None else definition.trigger
        return definition if trigger is not None and trigger.concerns(self.event_name, self.entity) else None

    @property
    def wanted(self) -> _Start | None:
        """How this release reserves it; None when it does not.

        What is reserved ahead of its event by a workflow that now begins at the event or after it is not: the
        occurrence will start that.
        """
        definition = self.definition
        if definition is None or definition.trigger is None:
            return None
        offset = definition.trigger.offset
        is_ahead_of_nothing = self.start.offset < _NONE <= offset
        start = _Start(offset=offset, version=definition.version, step=definition.start_step)
        return None if is_ahead_of_nothing else start


def retrigger(occurrence_ids: Sequence[str] | None, *, using: str) -> list[str]:
    """Update the reserved starts of these occurrences (None: of all) to this release; return whose changed.

    Those of triggers that this release does not have are left: another process may have them.
    """
    changed: list[str] = []
    for chunk in _chunks(occurrence_ids, using=using):
        known = [run for run in chunk if run.definition is not None]
        _withdraw([run.id for run in known if run.wanted is None], wiring.clock.now(), using=using)
        moved = {run: run.wanted for run in known if run.wanted not in {None, run.start}}
        for start in dict.fromkeys(moved.values()):
            if start is not None:
                _move([run.id for run in moved if moved[run] == start], start, wiring.clock.now(), using=using)
        changed += [run.occurrence_id for run in moved]
    return changed


def withdraw_untriggered(*, using: str, dry_run: bool) -> int:
    """Cancel the reserved starts that this release would not reserve; return how many."""
    count = 0
    for chunk in _chunks(None, using=using):
        gone = [run.id for run in chunk if run.wanted is None]
        count += len(gone)
        if not dry_run:
            _withdraw(gone, wiring.clock.now(), using=using)
    return count


def _chunks(occurrence_ids: Sequence[str] | None, *, using: str) -> Iterator[list[_Reserved]]:
    rows = _reserved(using).order_by("pk")
    if occurrence_ids is not None:
        rows = rows.filter(triggered_by_event_id__in=list(occurrence_ids))
    values = rows.values("id", "name", "offset", "version", "current_step", "triggered_by_event_id", "occurrence")
    chunk = [_reserved_start(row) for row in values[:_BATCH]]
    while chunk:
        yield chunk
        chunk = [_reserved_start(row) for row in values.filter(pk__gt=chunk[-1].id)[:_BATCH]]


def _reserved_start(row: Mapping[str, Any]) -> _Reserved:
    return _Reserved(
        id=row["id"],
        name=row["name"],
        start=_Start(offset=row["offset"], version=row["version"], step=row["current_step"]),
        occurrence_id=row["triggered_by_event_id"],
        event_name=row["occurrence"]["name"],
        entity=EntityRef(**row["occurrence"]["entity"]),
    )


def _move(ids: Sequence[UUID], start: _Start, now: datetime, *, using: str) -> None:
    wake_at = ExpressionWrapper(F("event_at") + Value(start.offset, DurationField()), output_field=DateTimeField())
    with transaction.atomic(using=using):
        _reserved(using).filter(pk__in=ids).update(
            offset=start.offset,
            version=start.version,
            current_step=start.step,
            wake_at=wake_at,
            # Who is paused is looked at again when resumed, and who waits for its event has no time of its own.
            next_at=Case(
                When(status=WorkflowStatus.WAITING.value, next_at__isnull=False, then=wake_at), default=F("next_at")
            ),
            why=_MOVED,
            revision=F("revision") + 1,
            updated_at=now,
        )


def _withdraw(ids: Sequence[UUID], now: datetime, *, using: str) -> None:
    if not ids:
        return
    with transaction.atomic(using=using):
        _reserved(using).filter(pk__in=ids).update(
            status=WorkflowStatus.CANCELLED.value,
            why=_GONE,
            error="",
            next_at=None,
            wake_at=None,
            claim_expires_at=None,
            wake=None,
            pause=Pause.NONE.value,
            pause_requested=False,
            missing_since=None,
            # The place is free again, for a release that brings the trigger back.
            occurrence_digest=None,
            revision=F("revision") + 1,
            updated_at=now,
            finished_at=now,
            **wait_columns(None),
        )


def _reserved(using: str) -> Any:
    return WorkflowRun.rows.using(using).filter(
        data__isnull=True,
        status__in=[WorkflowStatus.WAITING.value, WorkflowStatus.PAUSED.value],
        triggered_by_event_id__isnull=False,
        tombstone_at__isnull=True,
    )
