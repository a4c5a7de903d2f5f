"""Runs, attempts and signals as rows and back. Nothing here touches the database."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from automation.workflows.digests import address_digest, key_digest, occurrence_digest
from automation.workflows.models import WorkflowAttempt, WorkflowRun, WorkflowSignal
from automation.workflows.runs.values import (
    Attempt,
    EntityRef,
    JsonObject,
    Occurrence,
    Pause,
    Run,
    Signal,
    StandingWait,
    Wake,
    WakeKind,
    WorkflowStatus,
)

__all__ = [
    "attempt_row",
    "changed_columns",
    "run_columns",
    "run_from_row",
    "run_row",
    "signal_from_row",
    "signal_row",
    "wait_columns",
]

_SAME = (
    "id",
    "name",
    "version",
    "revision",
    "current_step",
    "visit",
    "attempt",
    "visit_position",
    "start_position",
    "lost_claims",
    "pause_requested",
    "error",
    "why",
    "run_key",
    "arguments_digest",
    "offset",
    "parent_id",
    "parent_visit",
    "children_pending",
)
"""Fields that are the same in a run and in its row."""
_TIMES = (
    "next_at",
    "wake_at",
    "claim_expires_at",
    "missing_since",
    "deadline_at",
    "created_at",
    "updated_at",
    "finished_at",
)


def run_row(run: Run) -> WorkflowRun:
    """Return a new row for a run."""
    return WorkflowRun(**run_columns(run))


def run_columns(run: Run) -> dict[str, Any]:
    """Return every column of a run's row."""
    return {
        **{name: getattr(run, name) for name in _SAME + _TIMES},
        "status": run.status.value,
        "pause": run.pause.value,
        "data": _json(run.data),
        "wake": _to_json(run.wake),
        "run_key_digest": key_digest(run),
        "occurrence_digest": occurrence_digest(run),
        **wait_columns(run.wait),
        **_entity_columns(run.entity),
        **_occurrence_columns(run.occurrence),
    }


def changed_columns(before: Run, after: Run) -> dict[str, Any]:
    """Return the columns that a move changes.

    JSON is compared by identity: equal values may differ in type (1, 1.0 and True), and must still be stored.
    """
    columns = {name: getattr(after, name) for name in _SAME + _TIMES if getattr(before, name) != getattr(after, name)}
    if before.status is not after.status:
        columns["status"] = after.status.value
    if before.pause is not after.pause:
        columns["pause"] = after.pause.value
    if before.data is not after.data:
        columns["data"] = _json(after.data)
    if before.wake is not after.wake:
        columns["wake"] = _to_json(after.wake)
    if before.wait is not after.wait:
        columns |= wait_columns(after.wait)
    if before.entity != after.entity:
        columns |= _entity_columns(after.entity)
    if before.occurrence != after.occurrence:
        columns |= _occurrence_columns(after.occurrence)
    return columns


def run_from_row(row: WorkflowRun) -> Run:
    """Return the run that a row holds."""
    values: dict[str, Any] = {name: getattr(row, name) for name in _SAME}
    values |= {name: _utc(getattr(row, name)) for name in _TIMES}
    return Run(
        **values,
        status=WorkflowStatus(row.status),
        pause=Pause(row.pause),
        data=row.data,
        wait=_wait_from_json(row.wait),
        wake=_wake_from_json(row.wake),
        entity=EntityRef(type=row.entity_type, id=row.entity_id) if row.entity_type else None,
        occurrence=_occurrence_from_row(row),
    )


def attempt_row(attempt: Attempt) -> WorkflowAttempt:
    """Return a new row for an attempt."""
    return WorkflowAttempt(
        run_id=attempt.run_id,
        revision=attempt.revision,
        step=attempt.step,
        visit=attempt.visit,
        number=attempt.number,
        outcome=attempt.outcome.value,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        detail=attempt.detail,
    )


def signal_row(signal: Signal) -> WorkflowSignal:
    """Return a new, undelivered row for a signal."""
    return WorkflowSignal(
        signal_id=signal.id,
        name=signal.name,
        payload=_json(signal.payload),
        key=signal.key,
        run_id=signal.run_id,
        subjects=[asdict(subject) for subject in signal.subjects],
        sent_at=signal.sent_at,
    )


def signal_from_row(row: WorkflowSignal) -> Signal:
    """Return the signal that a row holds."""
    return Signal(
        id=row.signal_id,
        name=row.name,
        payload=row.payload,
        key=row.key,
        run_id=row.run_id,
        subjects=tuple(EntityRef(**subject) for subject in row.subjects),
        sent_at=row.sent_at.astimezone(UTC),
        position=row.position,
    )


def wait_columns(wait: StandingWait | None) -> dict[str, Any]:
    """Return the columns by which a signal finds the waiting run, and the wait itself."""
    return {
        "wait": _to_json(wait),
        "waiting_signal": wait.signal if wait else "",
        "waiting_scope": wait.entity_type if wait and wait.signal else "",
        "waiting_digest": address_digest(wait.signal, wait.key) if wait and wait.signal else "",
    }


def _json(value: JsonObject | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def _utc(value: datetime | None) -> datetime | None:
    """Convert to UTC: arithmetic on aware local times ignores changes of the clock."""
    return None if value is None else value.astimezone(UTC)


def _to_json(value: Any) -> dict[str, Any] | None:
    """Write a frozen value field by field."""
    if value is None:
        return None
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return value // timedelta(microseconds=1)
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
    return value


def _known(kind: type[Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a newer release stored and this one does not know; what is missing gets its default."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in stored.items() if name in names}


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _wait_from_json(stored: Mapping[str, Any] | None) -> StandingWait | None:
    if stored is None:
        return None
    times = {name: _time(stored.get(name)) for name in ("deadline_at", "sent_after")}
    accept = stored.get("accept")
    read = {**times, "accept": None if accept is None else tuple(accept)}
    return StandingWait(**{**_known(StandingWait, stored), **read})


def _wake_from_json(stored: Mapping[str, Any] | None) -> Wake | None:
    if stored is None:
        return None
    read = {
        "kind": WakeKind(stored["kind"]),
        "cause": WakeKind(stored["cause"]),
        "late": timedelta(microseconds=stored["late"]),
        "sent_at": _time(stored.get("sent_at")),
        "deadline_at": _time(stored.get("deadline_at")),
    }
    return Wake(**{**_known(Wake, stored), **read})


def _entity_columns(entity: EntityRef | None) -> dict[str, Any]:
    return {"entity_type": entity.type if entity else "", "entity_id": entity.id if entity else ""}


def _occurrence_columns(occurrence: Occurrence | None) -> dict[str, Any]:
    if occurrence is None:
        return {"triggered_by_event_id": None, "event_at": None, "occurrence": None}
    return {
        "triggered_by_event_id": occurrence.id,
        "event_at": occurrence.at,
        "occurrence": {
            "name": occurrence.name,
            "entity": asdict(occurrence.entity),
            "generation": occurrence.generation,
            "payload": _json(occurrence.payload),
            "about": [asdict(subject) for subject in occurrence.about],
        },
    }


def _occurrence_from_row(row: WorkflowRun) -> Occurrence | None:
    stored = row.occurrence
    if row.triggered_by_event_id is None or stored is None:
        return None
    return Occurrence(
        id=row.triggered_by_event_id,
        name=stored["name"],
        entity=EntityRef(**stored["entity"]),
        at=_utc(row.event_at),
        generation=stored["generation"],
        payload=stored["payload"],
        about=tuple(EntityRef(**subject) for subject in stored["about"]),
    )
