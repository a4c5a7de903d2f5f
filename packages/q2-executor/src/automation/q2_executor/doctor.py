"""One look that says whether automation is healthy: what `manage.py workflow_doctor` prints."""

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections, router

from automation.q2_executor import broker, sweeps
from automation.q2_executor.checks import warnings_about
from automation.q2_executor.conf import conf, schedules_wanted
from automation.q2_executor.instants import as_stored
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.sweeps import Sweep

__all__ = ["Examination", "ExitCode", "Finding", "Level", "examine"]

LISTED = 1000
"""Overdue runs counted at most: enough to know that something is wrong, cheap however wrong it is."""
CLOCKS_MAY_DIFFER = timedelta(seconds=5)


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and would work better otherwise, or somebody should look when there is time."""
    PROBLEM = "problem"
    """Something is owed and is not being done, until a person acts."""
    STOPPED = "stopped"
    """No cluster is working: the last sweep is too long ago. A restart is the remedy."""


class ExitCode(IntEnum):
    """What monitoring sees."""

    HEALTHY = 0
    PROBLEM = 1
    """A person should look."""
    STOPPED = 2
    """The cluster does not work: restart it."""
    UNKNOWN = 3
    """The doctor could not look, for example because the database does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    about: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that was looked at, and what follows."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The worst that was found. Warnings alone are healthy."""
        levels = {finding.level for finding in self.findings}
        if Level.STOPPED in levels:
            return ExitCode.STOPPED
        return ExitCode.PROBLEM if Level.PROBLEM in levels else ExitCode.HEALTHY

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "healthy": self.exit_code is ExitCode.HEALTHY,
            "exit_code": int(self.exit_code),
            "findings": [
                {"level": str(each.level), "about": each.about, "message": each.message, "remedy": each.remedy}
                for each in self.findings
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """When, and how patient."""

    now: datetime
    max_age: timedelta

    @property
    def overdue_before(self) -> datetime:
        return self.now - self.max_age

    def patience(self, sweep: Sweep) -> timedelta:
        """Return the age at which the last run of a sweep says that no cluster is working."""
        shortest = min(each.every for each in sweeps.installed())
        return self.max_age if sweep.every == shortest else max(self.max_age, sweep.every * 2)


def default_max_age() -> timedelta:
    """Return two intervals and q2's own 30 s of lateness: what a healthy cluster never exceeds."""
    return min((sweep.every for sweep in sweeps.installed()), default=conf().sweep_every) * 2 + timedelta(seconds=30)


def examine(*, max_age: timedelta | None = None, now: datetime | None = None) -> Examination:
    """Look at everything. `max_age` is how long ago the last sweep may be. Changes nothing."""
    look = _Look(now=now or datetime.now(UTC), max_age=max_age or default_max_age())
    return Examination(findings=tuple(finding for part in _PARTS for finding in part(look)))


def _heartbeats(look: _Look) -> Iterator[Finding]:
    beats = {beat.name: beat for beat in Heartbeat.objects.all()}
    for sweep in sweeps.installed():
        yield _heartbeat(sweep, beats.get(sweep.name), look)


def _heartbeat(sweep: Sweep, beat: Heartbeat | None, look: _Look) -> Finding:
    finished = beat.finished_at if beat else None
    age = None if finished is None else look.now - finished
    if age is not None and age <= look.patience(sweep):
        return Finding(level=Level.OK, about=sweep.title, message=f"ran {_seconds(age)} ago")
    is_daily = sweep.every >= timedelta(days=1)
    last = "has never run to its end" if age is None else f"last ran to its end {_seconds(age)} ago"
    tried = f"; it was begun {_seconds(look.now - beat.started_at)} ago" if beat and beat.started_at else ""
    return Finding(
        # A day's work that has not been done yet is no sign of a cluster that stands still.
        level=Level.WARNING if is_daily else Level.STOPPED,
        about=sweep.title,
        message=f"{last}{tried}; it is wanted every {_seconds(sweep.every)}",
        remedy="" if is_daily else "Start `manage.py qcluster`, or restart it: kill its whole process group first.",
    )


def _schedules(look: _Look) -> Iterator[Finding]:
    from django_q.models import Schedule

    rows = list(Schedule.objects.all())
    if schedules_wanted():
        for sweep in sweeps.installed():
            yield _schedule(sweep, [row for row in rows if row.name == sweep.title], look)
    yield from (_poison(row) for row in rows if not _is_readable(row.args))


def _schedule(sweep: Sweep, rows: list[Any], look: _Look) -> Finding:
    about, remedy = f"schedule {sweep.title!r}", "Run `manage.py setup_schedules`."
    match rows:
        case []:
            return Finding(level=Level.PROBLEM, about=about, message="is missing", remedy=remedy)
        case [row]:
            return _single_schedule(sweep, row, about, look)
    return Finding(level=Level.WARNING, about=about, message=f"is there {len(rows)} times", remedy=remedy)


def _single_schedule(sweep: Sweep, row: Any, about: str, look: _Look) -> Finding:
    remedy = "Run `manage.py setup_schedules`."
    if row.func != sweep.task:
        return Finding(level=Level.PROBLEM, about=about, message=f"calls {row.func!r}", remedy=remedy)
    if row.repeats == 0 or row.next_run is None:
        return Finding(level=Level.PROBLEM, about=about, message="is switched off", remedy=remedy)
    late = as_stored(look.now) - row.next_run
    if late > look.max_age:
        return Finding(
            level=Level.WARNING,
            about=about,
            message=f"was due {_seconds(late)} ago: q2's scheduler is not working",
            remedy="Look for an unreadable schedule, and restart the cluster.",
        )
    return Finding(level=Level.OK, about=about, message="is in place")


def _is_readable(args: str | None) -> bool:
    try:
        return not args or bool(ast.literal_eval(args)) or True
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _poison(row: Any) -> Finding:
    return Finding(
        level=Level.PROBLEM,
        about=f"schedule {row.name or row.pk!r}",
        message=f"has arguments that q2 cannot read ({row.args!r:.80}), and so keeps every schedule from running",
        remedy="Correct or delete it. Arguments must be Python literals.",
    )


def _queue(look: _Look) -> Iterator[Finding]:
    if broker.kind() is not broker.Broker.ORM:
        return
    from django_q.models import OrmQ

    before = as_stored(look.overdue_before)
    waiting = OrmQ.objects.using(broker.orm_alias()).filter(key=broker.main_queue(), lock__lt=before).count()
    if waiting:
        yield Finding(
            level=Level.WARNING,
            about=f"queue {broker.main_queue()!r}",
            message=f"{waiting} tasks have been waiting for more than {_seconds(look.max_age)}",
            remedy="Add workers, or look whether the cluster works at all.",
        )
    else:
        yield Finding(level=Level.OK, about=f"queue {broker.main_queue()!r}", message="no task has waited long")


def _runs(look: _Look) -> Iterator[Finding]:
    if not apps.is_installed("automation.workflows"):
        return
    from automation.workflows.ports import wiring

    overdue = [] if wiring.storage is None else wiring.storage.due(look.overdue_before, LISTED)
    counted = Counter("claims" if str(run.status) == "running" else "runs" for run in overdue)
    yield _overdue("runs", counted["runs"], "due and not worked on", look)
    yield _overdue("claims", counted["claims"], "claimed by a worker that never came back", look)
    yield from _parked()


def _overdue(about: str, count: int, what: str, look: _Look) -> Finding:
    if not count:
        return Finding(level=Level.OK, about=about, message="none overdue")
    number = f"{LISTED} or more" if count >= LISTED else str(count)
    return Finding(
        level=Level.PROBLEM,
        about=about,
        message=f"{number} {what} for more than {_seconds(look.max_age)}",
        remedy="Look at the log of the cluster: the sweep should have taken care of them.",
    )


def _parked() -> Iterator[Finding]:
    # By name, not by import: this package knows the ports of workflows only.
    runs = apps.get_model("automation_workflows", "WorkflowRun")
    paused = runs._default_manager.using(_alias_of_runs()).filter(status="paused").exclude(pause="person")
    names = Counter(paused.values_list("name", "pause")[:LISTED])
    for (name, pause), count in sorted(names.items()):
        yield Finding(
            level=Level.PROBLEM,
            about=f"workflow {name!r}",
            message=f"{count} runs are parked: {_PAUSES.get(pause, pause)}",
            remedy="They go on by themselves when code that fits them is deployed.",
        )


_PAUSES: Mapping[str, str] = {
    "missing": "the workflow or the step is not in this code",
    "context": "their stored Context does not fit the class",
}


def _alias_of_runs() -> str | None:
    from automation.workflows.ports import wiring

    return getattr(wiring.storage, "alias", None)


def _events(look: _Look) -> Iterator[Finding]:
    if not apps.is_installed("automation.events"):
        return
    patience = look.patience(sweeps.EVENTS)
    before = look.now - patience
    late = _count("Event", status="pending", next_at__lt=before)
    yield _late("events", late, f"are due for more than {_seconds(patience)} and have not occurred")
    late = _count("EventDelivery", status="pending", next_at__lt=before)
    yield _late("deliveries", late, f"are due for more than {_seconds(patience)} and have not been made")
    failed = _count("EventDelivery", status="failed")
    if failed:
        yield Finding(
            level=Level.WARNING,
            about="deliveries",
            message=f"{failed} have failed for good",
            remedy="Read their errors in the admin, mend the callback, and run them again.",
        )


def _late(about: str, count: int, what: str) -> Finding:
    if not count:
        return Finding(level=Level.OK, about=about, message="none overdue")
    return Finding(level=Level.PROBLEM, about=about, message=f"{count} {what}", remedy="Look at the cluster's log.")


def _count(model_name: str, **conditions: Any) -> int:
    model = apps.get_model("automation_events", model_name)
    return sum(model._default_manager.using(alias).filter(**conditions).count() for alias in _homes(model))


def _homes(model: Any) -> Iterator[str]:
    """Yield the databases on which there may be rows of a model."""
    home = router.db_for_write(model)
    yield home
    for alias in connections:
        if alias != home and model._meta.db_table in connections[alias].introspection.table_names():
            yield alias


def _q2_settings(_: _Look) -> Iterator[Finding]:
    for warning in warnings_about(getattr(settings, "Q_CLUSTER", None)):
        yield Finding(level=Level.WARNING, about="settings", message=warning.msg, remedy=warning.hint or "")


def _clocks(look: _Look) -> Iterator[Finding]:
    alias = router.db_for_write(Heartbeat)
    if connections[alias].vendor != "postgresql":
        return
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        ahead = datetime.now(UTC) - cursor.fetchone()[0]
    if abs(ahead) > CLOCKS_MAY_DIFFER:
        yield Finding(
            level=Level.WARNING,
            about="clocks",
            message=f"this machine and the database differ by {_seconds(abs(ahead))}; timers are as wrong as that",
            remedy="Synchronise the clocks (NTP).",
        )


_PARTS: tuple[Callable[[_Look], Iterator[Finding]], ...] = (
    _heartbeats,
    _schedules,
    _queue,
    _runs,
    _events,
    _q2_settings,
    _clocks,
)


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
