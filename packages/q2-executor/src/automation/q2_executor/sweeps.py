"""The three sweeps behind every hint, and what keeps them going when q2's scheduler does not.

A schedule of q2 calls each sweep. That alone is not enough: one unparsable schedule of somebody else's stops them all,
the scheduler dies with the sentinel, and behind a long backlog the task of the sweep waits for its turn. So there are
two more causes. A worker that is given some work looks first, every ten seconds at most, whether a sweep is overdue.
And a timer, the watchdog, comes back after each interval and a quarter, looks, and sets itself anew. Whoever sweeps
stamps a heartbeat first by comparing and setting it, so that one overdue sweep is made up for once.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.apps import apps
from django.db import router, transaction

from automation.q2_executor import timers
from automation.q2_executor.broker import main_queue, sweep_queue
from automation.q2_executor.budget import Budget
from automation.q2_executor.conf import conf, schedules_wanted
from automation.q2_executor.executor import again_now
from automation.q2_executor.message import Message
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.sending import after_commit_of, send

__all__ = [
    "ALL",
    "CLEANUP",
    "EVENTS",
    "WORKFLOWS",
    "Glance",
    "Sweep",
    "begin_in_worker",
    "installed",
    "is_first_today",
    "make_up",
    "run",
    "set_watchdog",
    "watch",
]

logger = logging.getLogger("automation.q2_executor")

Work: TypeAlias = Callable[[Budget, datetime], Any]
"""What does a sweep within a budget; its start has been stamped with the time given."""

KEEP_SWEEPING = "automation.q2_executor.tasks.keep_sweeping"
WATCHDOG = "watchdog"
OVERDUE = 1.2
"""A sweep is overdue after its interval and a fifth: q2's schedules are late on their own, by up to 30 s."""
WATCHDOG_AFTER = 1.25
"""The watchdog comes a little later than that, so that it finds overdue what nobody else has done."""
LOOKS = 6
"""How often in an interval a busy worker process looks for overdue sweeps; a look is one SELECT."""
WATCHDOG_LOST_AFTER = timedelta(seconds=10)
"""A watchdog that has not come this long after its time is lost, with the queue that it was in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Work that is done again and again, whether or not anybody hinted at it."""

    name: str
    """The name of its heartbeat."""
    title: str
    """The name of its schedule in q2."""
    task: str
    """The dotted path of the task that its schedule calls."""
    app: str
    """The app without which there is nothing to sweep."""

    @property
    def every(self) -> timedelta:
        """The interval."""
        match self.name:
            case "workflows":
                return conf().sweep_every
            case "events":
                return conf().poll_every
        return timedelta(days=1)


WORKFLOWS = Sweep(
    name="workflows",
    title="Workflows: process_scheduled",
    task="automation.q2_executor.tasks.process_scheduled_workflows",
    app="automation.workflows",
)
EVENTS = Sweep(
    name="events",
    title="Events: poll_due",
    task="automation.q2_executor.tasks.poll_due_events",
    app="automation.events",
)
CLEANUP = Sweep(
    name="cleanup",
    title="Events: cleanup_old",
    task="automation.q2_executor.tasks.cleanup_old_events",
    app="automation.events",
)


ALL = (WORKFLOWS, EVENTS, CLEANUP)


def installed() -> list[Sweep]:
    """Return the sweeps whose app is installed."""
    return [sweep for sweep in ALL if apps.is_installed(sweep.app)]


def run(sweep: Sweep, work: Callable[[], Mapping[str, Any]], *, began_at: datetime | None = None) -> dict[str, Any]:
    """Do the work of a sweep, stamp its heartbeat, and see to it that there is a watchdog.

    When the work gives `more`, the sweep is repeated at once by another task, unless a later one has begun meanwhile:
    a backlog is swept by one task after the other, and never by several. `began_at`: the start is stamped already.
    """
    if began_at is None:
        began_at = datetime.now(UTC)
        _stamp(sweep.name, started_at=began_at)
    done = dict(work())
    _stamp(sweep.name, finished_at=datetime.now(UTC))
    set_watchdog()
    if done.pop("more", False) and Heartbeat.objects.filter(name=sweep.name, started_at=began_at).exists():
        again_now(sweep.task, queue=sweep_queue())
    return done


def make_up(work: Mapping[str, Work], budget: Budget) -> list[str]:
    """Run the overdue sweeps that no other process has just begun, while there is time; give their names.

    `work` is by name of sweep. Each is stamped as begun just before it begins: one for which no time is left stays
    overdue, for the next worker that looks.
    """
    if not schedules_wanted():
        return []
    begun, made_up = dict(Heartbeat.objects.values_list("name", "started_at")), []
    for sweep in installed():
        now = datetime.now(UTC)
        if not _is_overdue(sweep, begun.get(sweep.name), now) or budget.is_spent():
            continue
        if _compare_and_set(sweep.name, begun.get(sweep.name), now):
            work[sweep.name](budget, now)
            made_up.append(sweep.name)
    return made_up


def is_first_today(name: str) -> bool:
    """Return whether nobody else has asked this within a day, for what is done daily beside a sweep."""
    now = datetime.now(UTC)
    begun_at = Heartbeat.objects.filter(name=name).values_list("started_at", flat=True).first()
    is_due = begun_at is None or begun_at + timedelta(days=1) <= now
    return is_due and _compare_and_set(name, begun_at, now)


class Glance:
    """Remembers when this process last looked, so that looking costs next to nothing."""

    def __init__(self) -> None:
        self._next_look = 0.0

    def is_due(self) -> bool:
        """Tell, every ten seconds with the usual intervals, that it is time to look."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + _shortest_interval().total_seconds() / LOOKS
        return True


glance = Glance()


def set_watchdog(*, after: timedelta | None = None) -> None:
    """Leave a timer that looks after the sweeps, unless one is on its way."""
    if not schedules_wanted() or not timers.available() or not installed():
        return
    now = datetime.now(UTC)
    standing = Heartbeat.objects.filter(name=WATCHDOG).values_list("started_at", flat=True).first()
    if standing is None or not _is_on_its_way(standing, now):
        _send_watchdog(standing, now + (_shortest_interval() * WATCHDOG_AFTER if after is None else after))


def _is_on_its_way(standing: datetime, now: datetime) -> bool:
    """Return whether a watchdog for this time still comes, and soon enough: intervals may be shorter by now."""
    latest = now + _shortest_interval() * WATCHDOG_AFTER
    return now - WATCHDOG_LOST_AFTER <= standing <= latest + WATCHDOG_LOST_AFTER


def begin_in_worker(**_: Any) -> None:
    """Look after the sweeps at once when q2 has started a worker process: an outage may have left no watchdog."""
    try:
        set_watchdog(after=timedelta(0))
    except Exception:
        # Nothing may be raised here, whatever the database or the broker is up to: q2 would lose the worker, and the
        # next one, for ever. The next sweep sets the watchdog.
        logger.warning("The sweeps could not be looked after at the start of a worker.", exc_info=True)


def watch(due: str, work: Mapping[str, Work], budget: Budget) -> None:
    """Make up for what is overdue, and set the next watchdog. One that is not the one expected ends here."""
    if _send_watchdog(datetime.fromisoformat(due), datetime.now(UTC) + _shortest_interval() * WATCHDOG_AFTER):
        make_up(work, budget)


def _send_watchdog(before: datetime | None, at: datetime) -> bool:
    alias = router.db_for_write(Heartbeat)
    with transaction.atomic(using=alias):
        if not _compare_and_set(WATCHDOG, before, at):
            return False
        watchdog = Message(task=KEEP_SWEEPING, args=(at.isoformat(),), at=at)
        send([watchdog], joins=alias, after_commit=after_commit_of(alias), queue=_watchdog_queue())
        return True


def _shortest_interval() -> timedelta:
    return min((sweep.every for sweep in installed()), default=conf().sweep_every)


def _watchdog_queue() -> str:
    from automation.q2_executor.broker import Broker, kind

    # The timers of Redis are looked after in the main queue only.
    return sweep_queue() if kind() is Broker.ORM else main_queue()


def _is_overdue(sweep: Sweep, begun_at: datetime | None, now: datetime) -> bool:
    return begun_at is None or begun_at + sweep.every * OVERDUE < now


def _compare_and_set(name: str, before: datetime | None, after: datetime) -> bool:
    """Set the stamp if it still is what it was; give whether this process was the one to do so."""
    if Heartbeat.objects.filter(name=name, started_at=before).update(started_at=after):
        return True
    return before is None and Heartbeat.objects.get_or_create(name=name, defaults={"started_at": after})[1]


def _stamp(name: str, **stamps: datetime) -> None:
    if not Heartbeat.objects.filter(name=name).update(**stamps):
        Heartbeat.objects.update_or_create(name=name, defaults=stamps)
