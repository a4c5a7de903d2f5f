"""Reserved starts in tables: moved and withdrawn by one statement, whatever their number."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Case, DateTimeField, ExpressionWrapper, F, Field, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable

from automation.workflows.models import WorkflowRun
from automation.workflows.rows import run_from_row, run_row, wait_columns
from automation.workflows.runs.values import Occurrence, Pause, Run, WorkflowStatus

__all__ = ["DjangoPlans"]

_BATCH = 500

_HELD = Q(status__in=[WorkflowStatus.WAITING.value, WorkflowStatus.PAUSED.value])


class DjangoPlans:
    """The Plans of DjangoStorage: see the port for what is promised."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def reserve(self, runs: Sequence[Run]) -> None:
        """Insert in the order of their keys, and let what is there already stand."""
        # Two who reserve the same starts then wait for each other and do not deadlock.
        rows = sorted(map(run_row, runs), key=lambda row: str(row.occurrence_digest))
        WorkflowRun.rows.using(self._alias).bulk_create(rows, batch_size=_BATCH, ignore_conflicts=True)

    def move(self, occurrences: Sequence[Occurrence], now: datetime) -> None:
        """Add each row's own offset to the new date, in the database."""
        dates = {occurrence.id: occurrence.at for occurrence in occurrences}
        if not dates:
            return
        at = _date_of(dates)
        wake_at = ExpressionWrapper(at + F("offset"), output_field=DateTimeField())
        moved = _of_held(
            event_at=at,
            wake_at=wake_at,
            # Who is paused is looked at again when it was to be, not at the new date, and still says why it is paused.
            next_at=_of_waiting("next_at", wake_at),
            why=_of_waiting("why", "not begun: moved with its event"),
        )
        self._reserved(list(dates)).update(revision=F("revision") + 1, updated_at=now, **moved)

    def withdraw(self, occurrence_ids: Sequence[str], reason: str, now: datetime) -> None:
        """End them where they stand."""
        ended = _of_held(
            why=reason,
            error="",
            next_at=None,
            wake_at=None,
            claim_expires_at=None,
            wake=None,
            pause=Pause.NONE.value,
            pause_requested=False,
            missing_since=None,
            finished_at=now,
            **wait_columns(None),
            # Last: MariaDB assigns from left to right, and the others ask for the status as it was.
            status=WorkflowStatus.CANCELLED.value,
        )
        self._reserved(occurrence_ids).update(revision=F("revision") + 1, updated_at=now, **ended)

    def reserved(self, occurrence_ids: Sequence[str]) -> Sequence[Run]:
        """Read them."""
        return [run_from_row(row) for row in self._reserved(occurrence_ids).order_by("pk")]

    def _reserved(self, occurrence_ids: Sequence[str]) -> QuerySet[WorkflowRun]:
        return WorkflowRun.rows.using(self._alias).filter(
            triggered_by_event_id__in=occurrence_ids,
            data__isnull=True,
            status__in=[status.value for status in WorkflowStatus if not status.is_terminal],
        )


def _of_held(**values: Any) -> dict[str, Case]:
    """Return updates that change WAITING and PAUSED rows, and leave those that a worker is at as they are."""
    changes = {name: _as_expression(name, value) for name, value in values.items()}
    return {name: Case(When(_HELD, then=change), default=F(name)) for name, change in changes.items()}


def _of_waiting(name: str, value: Any) -> Case:
    """Return an update of WAITING rows alone."""
    is_waiting = When(status=WorkflowStatus.WAITING.value, then=_as_expression(name, value))
    return Case(is_waiting, default=F(name))


def _as_expression(name: str, value: Any) -> Any:
    if hasattr(value, "resolve_expression"):
        return value
    field = WorkflowRun._meta.get_field(name)
    assert isinstance(field, Field)
    return Value(value, output_field=field)


def _date_of(dates: dict[str, datetime | None]) -> Combinable:
    """Return the expression for the new date of a row's occurrence."""
    if len(dates) == 1:
        return Value(next(iter(dates.values())), output_field=DateTimeField())
    return Case(
        *(When(triggered_by_event_id=name, then=Value(at, output_field=DateTimeField())) for name, at in dates.items()),
        output_field=DateTimeField(),
    )
