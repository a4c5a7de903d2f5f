"""The three schedules in q2, by the guide's names: each there exactly once, whoever installs them and how often."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, router, transaction

from automation.q2_executor import sweeps
from automation.q2_executor.broker import default_queue, sweep_queue
from automation.q2_executor.conf import conf, schedules_wanted
from automation.q2_executor.instants import as_stored
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.sweeps import Sweep

__all__ = ["Change", "install", "install_after_migrate"]

OPTIONS = "{'q_options': {'save': False, 'ack_failure': True, 'cached': False}}"
"""Literals, because q2 reads the column with `ast.literal_eval`."""
MUTEX = "schedules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What `install` did about one schedule."""

    title: str
    did: str
    """`installed`, `repaired`, `removed` or `unchanged`."""


def install() -> list[Change]:
    """Put the schedules of the installed packages in place. Safe to call at any time, by several processes at once.

    A missing one is added, one that differs is set right (its next run and an operator's choice of cluster are kept),
    doubles are removed (q2 has no unique constraint on names), and so are those of a package that is not installed any
    more, whose task would only raise.
    """
    with transaction.atomic(using=router.db_for_write(Heartbeat)):
        _lock()
        installed = sweeps.installed()
        removed = [_remove(sweep) for sweep in sweeps.ALL if sweep not in installed]
        return [*(_install(sweep) for sweep in installed), *(change for change in removed if change is not None)]


def install_after_migrate(*, using: str, **_: Any) -> None:
    """Receive post_migrate: install the schedules, when they are wanted and both tables are there."""
    if schedules_wanted() and _tables_exist(using):
        install()


def _tables_exist(using: str) -> bool:
    """Return whether `using` holds both tables: a project may migrate one app, or one database, at a time."""
    schedule = _schedule()
    if using != router.db_for_write(schedule):
        return False
    there = connections[using].introspection.table_names()
    return schedule._meta.db_table in there and Heartbeat._meta.db_table in there


def _lock() -> None:
    """Let no other process install at the same time: a row of our own serves as the mutex."""
    Heartbeat.objects.get_or_create(name=MUTEX)
    Heartbeat.objects.select_for_update().get(name=MUTEX)


def _install(sweep: Sweep) -> Change:
    schedule = _schedule()
    standing = list(schedule.objects.filter(name=sweep.title).order_by("pk"))
    if not standing:
        schedule.objects.create(
            name=sweep.title, next_run=as_stored(datetime.now(UTC)), cluster=_cluster(), **_wanted(sweep)
        )
        return Change(title=sweep.title, did="installed")
    schedule.objects.filter(pk__in=[double.pk for double in standing[1:]]).delete()
    did = "repaired" if _repair(standing[0], sweep) or standing[1:] else "unchanged"
    return Change(title=sweep.title, did=did)


def _remove(sweep: Sweep) -> Change | None:
    """Remove what we once installed; a schedule of that name that calls something else is somebody's own."""
    deleted, _ = _schedule().objects.filter(name=sweep.title, func=sweep.task).delete()
    return Change(title=sweep.title, did="removed") if deleted else None


def _repair(row: Any, sweep: Sweep) -> bool:
    wanted = _wanted(sweep)
    if _cluster() is not None:
        wanted["cluster"] = _cluster()
    if row.next_run is None:
        wanted["next_run"] = as_stored(datetime.now(UTC))
    wrong = {key: value for key, value in wanted.items() if getattr(row, key) != value}
    return bool(_schedule().objects.filter(pk=row.pk).update(**wrong)) if wrong else False


def _wanted(sweep: Sweep) -> dict[str, Any]:
    schedule = _schedule()
    if sweep.every == timedelta(days=1):
        rhythm = {"schedule_type": schedule.DAILY, "minutes": None}
    else:
        minutes = -(-sweep.every // timedelta(minutes=1))
        rhythm = {"schedule_type": schedule.MINUTES, "minutes": minutes}
    return {"func": sweep.task, "args": None, "kwargs": OPTIONS, "hook": None, "repeats": -1, "cron": None, **rhythm}


def _cluster() -> str | None:
    """Return the queue to write into the rows; None leaves them to q2's default cluster, if that is the one meant."""
    queue = sweep_queue()
    return queue if conf().sweep_queue or conf().queue or queue != default_queue() else None


def _schedule() -> Any:
    from django_q.models import Schedule

    return Schedule
