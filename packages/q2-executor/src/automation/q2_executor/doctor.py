"""One look that says whether automation is healthy: what `manage.py workflow_doctor` prints."""

import ast
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, router

from automation.q2_executor import broker, sweeps
from automation.q2_executor.checks import warnings_about
from automation.q2_executor.conf import conf, schedules_wanted
from automation.q2_executor.instants import as_stored
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.sweeps import Sweep
from automation.q2_executor.verdict import Examination, Finding, Level

__all__ = ["default_max_age", "examine"]

logger = logging.getLogger("automation.q2_executor")

CLOCKS_MAY_DIFFER = timedelta(seconds=5)


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
    return Examination(findings=tuple(finding for part in _PARTS for finding in _seen(part, look)))


def _seen(part: "_Part", look: _Look) -> Iterator[Finding]:
    """Look at one part; what cannot be looked at hides nothing of the others."""
    try:
        yield from part(look)
    except (DatabaseError, InterfaceError) as error:
        logger.debug("A part could not be looked at.", exc_info=True)
        about = part.__name__.strip("_")
        message, remedy = f"could not be looked at: {error}".strip(), "Look whether the database is up, and whether "
        remedy += "`manage.py migrate` has been run on it."
        yield Finding(level=Level.UNKNOWN, about=about, message=message, remedy=remedy)


def _heartbeats(look: _Look) -> Iterator[Finding]:
    beats = {beat.name: beat for beat in Heartbeat.objects.all()}
    for sweep in sweeps.installed():
        yield _heartbeat(sweep, beats.get(sweep.name), look)


def _heartbeat(sweep: Sweep, beat: Heartbeat | None, look: _Look) -> Finding:
    finished = None if beat is None or beat.finished_at is None else look.now - beat.finished_at
    begun = None if beat is None or beat.started_at is None else look.now - beat.started_at
    if finished is not None and finished <= look.patience(sweep):
        return _ok(sweep.title, f"ran {_told(finished)} ago")
    last = "has never run to its end" if finished is None else f"last ran to its end {_told(finished)} ago"
    tried = "" if begun is None else f"; it was begun {_told(begun)} ago"
    level, remedy = _missed(sweep, begun, look)
    message = f"{last}{tried}; it is wanted every {_told(sweep.every)}"
    return Finding(level=level, about=sweep.title, message=message, remedy=remedy)


def _missed(sweep: Sweep, begun: timedelta | None, look: _Look) -> tuple[Level, str]:
    """Say how bad it is that a sweep has not come to its end in time, and what to do."""
    if sweep.every >= timedelta(days=1):
        return Level.WARNING, ""  # a day's work that has not been done yet is no sign of a cluster that stands still
    if begun is not None and begun <= look.patience(sweep):
        return Level.PROBLEM, "The cluster works, and the sweep raises or takes too long: look at the cluster's log."
    if begun is None and not schedules_wanted():
        return Level.PROBLEM, f"SKIP_Q2_AUTOSCHEDULE is True, so you have to see to it that {sweep.task} is called."
    return Level.STOPPED, "Start `manage.py qcluster`, or restart it: kill its whole process group first."


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
            return _problem(about, "is missing", remedy)
        case [row]:
            return _single_schedule(sweep, row, about, look)
    return _warning(about, f"is there {len(rows)} times", remedy)


def _single_schedule(sweep: Sweep, row: Any, about: str, look: _Look) -> Finding:
    remedy = "Run `manage.py setup_schedules`."
    if row.func != sweep.task:
        return _problem(about, f"calls {row.func!r}", remedy)
    if row.repeats == 0 or row.next_run is None:
        return _problem(about, "is switched off", remedy)
    late = as_stored(look.now) - row.next_run
    if late > look.max_age:
        return _warning(
            about,
            f"was due {_told(late)} ago: q2's scheduler is not working",
            "Look for an unreadable schedule, and restart the cluster.",
        )
    return _ok(about, "is in place")


def _is_readable(args: str | None) -> bool:
    try:
        ast.literal_eval(args or "()")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _poison(row: Any) -> Finding:
    return _problem(
        f"schedule {row.name or row.pk!r}",
        f"has arguments that q2 cannot read ({row.args!r:.80}), and so keeps every schedule from running",
        "Correct or delete it. Arguments must be Python literals.",
    )


def _queues(look: _Look) -> Iterator[Finding]:
    if broker.kind() is not broker.Broker.ORM:
        return
    from django_q.models import OrmQ

    before, than = as_stored(look.overdue_before), f"for more than {_told(look.max_age)}"
    for queue in sorted({broker.main_queue(), broker.sweep_queue()}):
        waiting = OrmQ.objects.using(broker.orm_alias()).filter(key=queue, lock__lt=before).count()
        message = f"{waiting} tasks have been waiting {than}"
        remedy = "Add workers, or look whether a cluster works on this queue at all."
        about = f"queue {queue!r}"
        # The heartbeats tell of the queue that the sweeps go through. Nothing else tells of another one: its runs are
        # hinted at again and again, and so never overdue.
        kind = _warning if queue == broker.sweep_queue() else _problem
        yield from _if_any(waiting, kind(about, message, remedy), none="no task has waited long")


def _runs(look: _Look) -> Iterator[Finding]:
    if not apps.is_installed("automation.workflows"):
        return
    from automation.workflows.ports import wiring

    if wiring.upkeep is None:
        return
    health, than = wiring.upkeep.health(look.overdue_before), f"for more than {_told(look.max_age)}"
    yield from _owed("runs", health.overdue, f"due and not worked on {than}")
    yield from _owed("claims", health.lost, f"claimed by a worker that never came back {than}")
    yield from _owed("signals", health.undelivered, f"sent and not delivered {than}")
    remedy = "Read their errors in the admin, mend the step, and let them try again."
    yield from _if_any(health.failed, _warning("runs", f"{_number(health.failed)} have failed", remedy))
    for (name, pause), count in sorted(health.parked.items()):
        yield _problem(
            f"workflow {name!r}",
            f"{_number(count)} runs are parked: {_PAUSES.get(pause, pause)}",
            "They go on by themselves when code that fits them is deployed.",
        )


_PAUSES: Mapping[str, str] = {
    "missing": "the workflow or the step is not in this code",
    "context": "their stored Context does not fit the class",
}


def _events(look: _Look) -> Iterator[Finding]:
    if not apps.is_installed("automation.events"):
        return
    from automation.events.ports import wiring

    if wiring.processor is None:
        return
    patience = look.patience(sweeps.EVENTS)
    health = wiring.processor.health(look.now - patience)
    yield from _owed("events", health.overdue, f"due for more than {_told(patience)} and have not occurred")
    yield from _owed("deliveries", health.owed, f"due for more than {_told(patience)} and have not been made")
    failed = f"{_number(health.failed)} have failed for good"
    remedy = "Read their errors in the admin, mend the callback, and run them again."
    yield from _if_any(health.failed, _warning("deliveries", failed, remedy))
    parked = f"{_number(health.parked)} are parked: their callback is not in this code"
    remedy = "They go on by themselves when a callback of that name is deployed."
    yield from _if_any(health.parked, _warning("deliveries", parked, remedy))


def _owed(about: str, count: int, what: str) -> Iterator[Finding]:
    remedy = "Look at the log of the cluster. If the sweeps run, there is more work than workers: add some."
    return _if_any(count, _problem(about, f"{_number(count)} {what}", remedy), none="none overdue")


def _if_any(count: int, found: Finding, *, none: str = "") -> Iterator[Finding]:
    """Yield what was found, where there is any of it; otherwise that there is none, where that is worth a line."""
    if count:
        yield found
    elif none:
        yield _ok(found.about, none)


def _number(count: int) -> str:
    """Return a count in words: the ports count up to a thousand of each."""
    return f"{count} or more" if count >= 1000 else str(count)


def _q2_settings(_: _Look) -> Iterator[Finding]:
    for warning in warnings_about(getattr(settings, "Q_CLUSTER", None)):
        yield _warning("settings", warning.msg, warning.hint or "")


def _clocks(look: _Look) -> Iterator[Finding]:
    connection = connections[router.db_for_write(Heartbeat)]
    if connection.vendor not in _CLOCKS:
        return
    with connection.cursor() as cursor:
        cursor.execute(_CLOCKS[connection.vendor])
        theirs: datetime = cursor.fetchone()[0]
    ahead = datetime.now(UTC) - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))
    if abs(ahead) > CLOCKS_MAY_DIFFER:
        yield _warning(
            "clocks",
            f"this machine and the database differ by {_told(abs(ahead))}; timers are as wrong as that",
            "Synchronise the clocks (NTP).",
        )


_CLOCKS: Mapping[str, str] = {"postgresql": "SELECT clock_timestamp()", "mysql": "SELECT UTC_TIMESTAMP(6)"}
"""What asks a server for its time; SQLite is on this machine."""

_Part = Callable[[_Look], Iterator[Finding]]

_PARTS: tuple[_Part, ...] = (_heartbeats, _schedules, _queues, _runs, _events, _q2_settings, _clocks)


def _ok(about: str, message: str) -> Finding:
    return Finding(level=Level.OK, about=about, message=message)


def _warning(about: str, message: str, remedy: str) -> Finding:
    return Finding(level=Level.WARNING, about=about, message=message, remedy=remedy)


def _problem(about: str, message: str, remedy: str) -> Finding:
    return Finding(level=Level.PROBLEM, about=about, message=message, remedy=remedy)


def _told(span: timedelta) -> str:
    """Return a time in seconds, as settings and `--max-age` have it; from an hour on in hours."""
    seconds = span.total_seconds()
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h".replace(".0 h", " h")
