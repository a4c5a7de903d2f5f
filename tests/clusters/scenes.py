"""The scenes that are played on real clusters. Each gives facts; tests judge them."""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import DatabaseError, InterfaceError, connection, transaction  # noqa: E402
from django_q.models import Failure, OrmQ, Schedule, Success, Task  # noqa: E402

from automation.events.models import Event, EventDelivery  # noqa: E402 (Django comes first)
from automation.q2_executor.broker import broker_for, main_queue  # noqa: E402
from automation.q2_executor.executor import Q2Executor  # noqa: E402 (Django comes first)
from automation.q2_executor.models import Heartbeat  # noqa: E402 (Django comes first)
from automation.workflows.core import engine  # noqa: E402
from automation.workflows.models import WorkflowRun  # noqa: E402
from tests.clusters.hotel.automations import STEPS  # noqa: E402
from tests.clusters.hotel.models import Entry, Paper, Stay  # noqa: E402
from tests.clusters.mischief import RESTART_SERVER, Mischief, is_main, move  # noqa: E402
from tests.clusters.rig import Cluster, Rig, end_with_parent, rig, until  # noqa: E402
from tests.clusters.strikes import planned, told  # noqa: E402

Facts = dict[str, Any]

TERMINAL = ("completed", "failed", "cancelled")

PATIENT_SECONDS = 180
"""For what takes a few seconds on a machine with nothing else to do."""


def day(rig: Rig, *, timers: int, seconds: float = PATIENT_SECONDS) -> Facts:
    """The guide's whole flow with no manual call, and `timers` timers of five kinds beside it."""
    rig.start()
    with_papers, without = (guest(in_seconds=10) for _ in range(2))
    timed = set_timers(timers)
    # The papers first: its run waits a few seconds for them, however late the other one begins.
    until(lambda: _written("prepared", with_papers.pk), seconds=seconds, what="a run began early", tell=_tell)
    Paper.objects.create(stay=with_papers)
    until(lambda: _written("prepared", without.pk), seconds=seconds, what="the other run began early", tell=_tell)
    for stay in (with_papers, without):
        engine.signal("house:open", {"word": "welcome"}, key=str(stay.pk))
    until(lambda: _settled() and _timed_entries() >= timed, seconds=seconds, what="everything ended", tell=_tell)
    return {
        "schedules": sorted(Schedule.objects.values_list("name", flat=True)),
        "with papers": story(with_papers),
        "without papers": story(without),
        "states": _states(),
        "doubles": doubles(),
        "timers": timed,
        "lateness": lateness(),
        "left in q2": until(nothing_waits, seconds=seconds, what="the queue is worked off", tell=in_q2),
    }


def guest(*, in_seconds: float) -> Stay:
    """Save a stay, and confirm it with a later save."""
    stay = Stay.objects.create(arrives_at=datetime.now(UTC) + timedelta(seconds=in_seconds))
    stay.confirmed = True
    stay.save()
    return stay


def set_timers(number: int) -> int:
    """Start `number` timers of five kinds that end within a few seconds; return how many entries they will write."""
    each = number // 5
    for one in range(each):
        seconds = 2 + 5 * one / each
        engine.start("sleeper", number=one, seconds=seconds)
        engine.start("waiter", number=one, seconds=seconds)
        engine.start("stumbler", number=one, seconds=2)
        arrives_at = datetime.now(UTC) + timedelta(seconds=seconds + 1.5)
        Stay.objects.create(arrives_at=arrives_at, confirmed=True, kind="timed")
    return each * 5


def story(stay: Stay) -> list[str]:
    """Tell what happened to a stay, in order."""
    return list(Entry.objects.filter(about=str(stay.pk), what__in=STORY).order_by("pk").values_list("what", flat=True))


STORY = ("welcomed", "prepared", "with papers", "without papers", "rested", "arrived", "closed", "asked")
TIMED = ("slept", "gave up", "retried", "early", "arrived")


def _timed_entries() -> int:
    timed_stays = [str(key) for key in Stay.objects.filter(kind="timed").values_list("pk", flat=True)]
    arrived = Entry.objects.filter(what="arrived", about__in=timed_stays).count()
    return arrived + Entry.objects.filter(what__in=set(TIMED) - {"arrived"}).count()


def lateness() -> Facts:
    """Say how late the timed entries were, in seconds: all together, and by kind."""
    rows = Entry.objects.filter(due_at__isnull=False).values_list("what", "due_at", "written_at")
    late = [(what, (written - due).total_seconds()) for what, due, written in rows]
    by_kind = {kind: _spread(value for what, value in late if what == kind) for kind in sorted({w for w, _ in late})}
    return {"all": _spread(value for _, value in late), **by_kind}


def _spread(values: Iterable[float]) -> Facts:
    ordered = sorted(values)
    cuts = quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else ordered * 99
    shown = {"min": ordered[0], "p50": cuts[49], "p95": cuts[94], "max": ordered[-1]}
    return {"count": len(ordered), **{name: round(value, 3) for name, value in shown.items()}}


def doubles() -> list[str]:
    """Name what is in the ledger more than once."""
    counted = Counter(Entry.objects.values_list("what", "about"))
    return [f"{what} {about}: {count} times" for (what, about), count in counted.items() if count > 1]


def left_in_q2() -> Facts:
    """Count what is in q2's tables besides timers."""
    now = datetime.now(UTC)
    return {"results": Task.objects.count(), "waiting": OrmQ.objects.filter(lock__lte=now).count()}


def nothing_waits() -> Facts | None:
    """Return what is left in q2's tables once nothing waits there: each minute a sweep passes through the queue."""
    left = left_in_q2()
    return None if left["waiting"] else left


def _written(what: str, about: object) -> bool:
    return Entry.objects.filter(what=what, about=str(about)).exists()


def _settled() -> bool:
    """Return whether nothing is to come: asked in the order in which work moves on, from events over calls to runs."""
    pending = Event.objects.filter(event_name="arrival_due", status="pending").exists()
    owed = EventDelivery.objects.exclude(status__in=["delivered", "cancelled"]).exists()
    return not pending and not owed and _everything_ended()


def _everything_ended() -> bool:
    return not WorkflowRun.objects.exclude(status__in=TERMINAL).exists()


def _states() -> Facts:
    return dict(Counter(f"{name} {status}" for name, status in WorkflowRun.objects.values_list("name", "status")))


def _tell() -> Facts:
    stuck = WorkflowRun.objects.exclude(status__in=TERMINAL)[:10]
    return {
        "states": _states(),
        "entries": dict(Counter(Entry.objects.values_list("what", flat=True))),
        "owed": [
            f"{each.callback} {each.status} {each.why} {each.next_at}"
            for each in EventDelivery.objects.exclude(status__in=["delivered", "cancelled"])[:10]
        ],
        "stuck": [f"{run.name} at {run.current_step} {run.status}: {run.why} {run.next_at}" for run in stuck],
        "queue": [(row.func(), str(row.lock)) for row in OrmQ.objects.all()[:20]],
    }


def share(rig: Rig, *, runs: int, seconds: float = PATIENT_SECONDS) -> Facts:
    """Two clusters on one database, as two machines would be; each message comes to as many workers as they have."""
    clusters = [rig.start(), rig.start()]
    until(lambda: all(len(cluster.hands()) >= 4 for cluster in clusters), seconds=seconds, what="both clusters are up")
    hands = [set(cluster.hands()) for cluster in clusters]
    with transaction.atomic():
        labour(runs)
        Q2Executor().enqueue(list(WorkflowRun.objects.values_list("pk", flat=True)) * 3)
    until(
        lambda: _states().get("labourer completed", 0) == runs, seconds=seconds, what="all runs completed", tell=_tell
    )
    until(nothing_waits, seconds=seconds, what="the queue is worked off", tell=in_q2)
    by_cluster = [Entry.objects.filter(process__in=group).count() for group in hands]
    return {"by cluster": by_cluster, "entries": Entry.objects.count(), "expected": runs * STEPS, "doubles": doubles()}


def _completed(name: str = "labourer") -> int:
    return WorkflowRun.objects.filter(name=name, status="completed").count()


def queues(rig: Rig, *, runs: int, seconds: float = PATIENT_SECONDS) -> Facts:
    """One cluster for the work, and one for the sweeps, on queues of their own."""
    rig.start()
    sweeping = rig.start(Q_CLUSTER_NAME="sweeps")
    labour(runs)
    until(lambda: _completed() == runs, seconds=seconds, what="all runs completed", tell=_tell)
    until(lambda: Heartbeat.objects.filter(name="workflows").exists(), seconds=seconds, what="a sweep", tell=_tell)
    hands = sweeping.hands()
    # What has been worked on is in the table until q2's monitor acknowledges it.
    until(lambda: _queues() == ["sweeps"], seconds=seconds, what="only the watchdog is left", tell=_queues)
    return {
        "clusters of schedules": sorted({str(each.cluster) for each in Schedule.objects.all()}),
        "entries": Entry.objects.count(),
        "expected": runs * STEPS,
        "doubles": doubles(),
        "labour by the sweeping cluster": Entry.objects.filter(process__in=hands).count(),
        "queues": _queues(),
    }


def _queues() -> list[str]:
    return sorted(set(OrmQ.objects.values_list("key", flat=True)))


def flushed(rig: Rig, *, runs: int, seconds: float) -> Facts:
    """The queue is emptied, with every timer in it, the one that keeps the sweeps going included."""
    rig.start()
    with transaction.atomic():
        for number in range(runs):
            engine.start("sleeper", number=number, seconds=5)
    waiting = WorkflowRun.objects.filter(name="sleeper", status="waiting")
    until(lambda: waiting.count() == runs, seconds=PATIENT_SECONDS, what="all are asleep", tell=_tell)
    for _ in range(runs // 4):
        Stay.objects.create(arrives_at=_in(5), confirmed=True, kind="timed")
    OrmQ.objects.all().delete()
    until(_settled, seconds=seconds, what="everything ended", tell=_tell)
    kept = until(watchdogs, seconds=PATIENT_SECONDS, what="the watchdog is back", tell=in_q2)
    return {"lateness": lateness(), "doubles": doubles(), "watchdogs": kept}


def watchdogs() -> int:
    """Count the timers that keep the sweeps going."""
    count: int = in_q2()["queue"].get("keep_sweeping", 0)
    return count


def labour(runs: int) -> None:
    """Start runs of six steps."""
    with transaction.atomic():
        for number in range(runs):
            engine.start("labourer", number=number)


def backlog(rig: Rig, *, runs: int, step_seconds: float, seconds: float) -> Facts:
    """Sweeps while a backlog of `runs` runs is worked off, each of which keeps a worker for `step_seconds`."""
    errands(runs, seconds=step_seconds)
    began = datetime.now(UTC)
    rig.start()
    begun: dict[str, set[datetime]] = {name: {began} for name in ("workflows", "events")}
    ended: dict[str, set[datetime]] = {name: set() for name in begun}

    def is_worked_off() -> bool:
        for name, started_at, finished_at in Heartbeat.objects.values_list("name", "started_at", "finished_at"):
            if name in begun and started_at is not None:
                begun[name].add(started_at)
            if name in ended and finished_at is not None:
                ended[name].add(finished_at)
        # The last of them are no backlog: one worker may be at them while another sweeps.
        return _ready() <= runs // 100

    until(is_worked_off, seconds=seconds, what="the backlog was worked off", tell=_tell)
    return {
        "runs": runs,
        "lasted": round((datetime.now(UTC) - began).total_seconds(), 1),
        "longest pause": {name: _longest_pause(times) for name, times in begun.items()},
        "sweeps": {name: len(times) for name, times in ended.items()},
    }


def _ready() -> int:
    return WorkflowRun.objects.filter(name="errand").exclude(status__in=TERMINAL).count()


def _longest_pause(times: Iterable[datetime]) -> float:
    ordered = [*sorted(times), datetime.now(UTC)]
    return round(max((after - before).total_seconds() for before, after in pairwise(ordered)), 2)


def errands(runs: int, *, seconds: float = 0) -> None:
    """Start runs of one step, a batch in each transaction."""
    for start in range(0, runs, 500):
        with transaction.atomic():
            for number in range(start, min(runs, start + 500)):
                engine.start("errand", number=number, seconds=seconds)


def piling_up(rig: Rig, *, runs: int, seconds: float) -> Facts:
    """Runs, timers and events of many kinds go through one cluster; then q2's tables are counted."""
    rig.start()
    until(lambda: Heartbeat.objects.filter(name="events").exists(), seconds=120, what="the first sweeps", tell=_tell)
    before = until(quiet_q2, seconds=120, what="nothing but the watchdog is in the queue", tell=in_q2)
    errands(runs)
    timed = set_timers(20)
    until(lambda: _settled() and _timed_entries() >= timed, seconds=seconds, what="everything ended", tell=_tell)
    after = until(quiet_q2, seconds=120, what="again nothing but the watchdog is in the queue", tell=in_q2)
    return {"runs": _completed("errand"), "before": before, "after": after, "doubles": doubles()}


def quiet_q2() -> Facts | None:
    """Return what is in q2's tables when the queue holds the watchdog alone: each minute a sweep passes through it."""
    found = in_q2()
    return found if found["queue"] == {"keep_sweeping": 1} else None


def in_q2() -> Facts:
    """Count the rows of q2's tables, those of its queue by the task that they call."""
    tables = {model.__name__: model.objects.count() for model in (Task, Success, Failure, Schedule)}
    return {**tables, "queue": dict(Counter(row.func().rpartition(".")[2] for row in OrmQ.objects.all()))}


def hardships(rig: Rig, *, seconds: float = PATIENT_SECONDS) -> Facts:
    """Steps that hang, leave or kill the process or outlast `retry`, and a schedule of others that cannot be read."""
    Schedule.objects.create(name="theirs", func="shop.tasks.tidy", args="UUID('x')")
    rig.start()
    hard = ("hanger", "killer", "leaver", "slowcoach")
    with transaction.atomic():
        for name in hard:
            engine.start(name)
    until(_everything_ended, seconds=seconds, what="each of them ended", tell=_tell)
    labour(3)
    until(lambda: _completed() == 3, seconds=seconds, what="the others went on", tell=_tell)
    sweeps = Heartbeat.objects.filter(name="workflows", finished_at__isnull=False)
    swept = until(sweeps.first, seconds=seconds, what="a sweep", tell=_tell)
    runs = {run.name: run for run in WorkflowRun.objects.filter(name__in=hard)}
    return {
        "states": _states(),
        "errors": {name: run.error.splitlines()[0] for name, run in runs.items() if run.error},
        "losses": {name: run.lost_claims for name, run in runs.items()},
        "entries": dict(Counter(Entry.objects.exclude(what__startswith="labour").values_list("what", flat=True))),
        "doubles": doubles(),
        "swept": swept.finished_at is not None,
        "left in q2": until(nothing_waits, seconds=seconds, what="no message comes again for ever", tell=in_q2),
    }


def crashes(rig: Rig, *, seed: int, runs: int, stays: int, trouble_seconds: float, patience_seconds: float) -> Facts:
    """Work goes on while everything that can be killed is killed, as the seed has it."""
    plan = planned(seed, seconds=trouble_seconds, restarts=bool(RESTART_SERVER))
    print(f"seed {seed}: {told(plan)}", flush=True)
    mischief = Mischief(rig)
    mischief.supervise()
    labour(runs // 2)
    moving = [Stay.objects.create(arrives_at=_in(6), confirmed=True, kind="timed") for _ in range(stays)]
    for number, strike in enumerate(plan):
        time.sleep(strike.after)
        with spared():
            mischief.strike(strike, moving)
            labour_more(runs, share=number / len(plan))
    until(lambda: _labour_is_done(runs), seconds=60, what="all runs could be started")
    for number, stay in enumerate(moving):
        until(
            lambda stay=stay, by=number / stays: _moved(stay, by=by), seconds=60, what="the last dates could be moved"
        )
    mischief.relent()
    swept = _seconds_until(_swept_since(datetime.now(UTC)), patience_seconds, what="a sweep")
    ended = _seconds_until(lambda: _settled() and _completed() == runs, patience_seconds, what="everything ended")
    return {
        "swept again in": swept,
        "healed in": ended,
        "strikes": dict(sorted(mischief.strikes.items())),
        "runs": runs,
        "completed": _completed(),
        "lines": dict(Counter(Entry.objects.filter(what__startswith="labour").values_list("what", flat=True))),
        "doubles": [each for each in doubles() if each.startswith(("labour", "welcomed"))],
        "occurrences": _occurrences(),
        "lateness": lateness()["all"],
        "states": _states(),
        "left in q2": left_in_q2(),
    }


def _swept_since(at: datetime) -> Callable[[], bool]:
    """Return the claim that a sweep has begun and ended since then."""
    return Heartbeat.objects.filter(name="workflows", started_at__gt=at, finished_at__gt=at).exists


def _seconds_until(claim: Callable[[], Any], seconds: float, *, what: str) -> float:
    began = time.monotonic()
    until(claim, seconds=seconds, what=what, tell=_tell)
    return round(time.monotonic() - began, 1)


def lost_in_redis(rig: Rig, *, runs: int, step_seconds: float, seconds: float) -> Facts:
    """A cluster is killed with messages in its hands, and Redis loses those that it still had, and all timers."""
    cluster = rig.start()
    with transaction.atomic():
        for number in range(runs):
            engine.start("sleeper", number=number, seconds=15)
    asleep = WorkflowRun.objects.filter(name="sleeper", status="waiting")
    until(lambda: asleep.count() == runs, seconds=seconds, what="all are asleep", tell=_tell)
    errands(runs, seconds=step_seconds)
    done = Entry.objects.filter(what="errand")
    until(done.exists, seconds=seconds, what="the first errand is done", tell=_tell)
    cluster.kill()
    target = broker_for(main_queue())
    keys = (target.list_key, f"automation:timers:{target.list_key}")
    lost = {"messages": target.connection.llen(keys[0]), "timers": target.connection.zcard(keys[1])}
    target.connection.delete(*keys)
    left = {"errands": _ready(), "sleepers": asleep.count()}
    rig.start()
    swept = _seconds_until(_swept_since(datetime.now(UTC)), seconds, what="a sweep")
    ended = _seconds_until(_settled, seconds, what="everything ended")
    return {
        "lost": lost,
        "left": left,
        "swept again in": swept,
        "healed in": ended,
        "states": _states(),
        "doubles": doubles(),
    }


def recycled(rig: Rig, *, runs: int, repeats: int, seconds: float) -> Facts:
    """Small runs go through workers that are replaced; the longest time in which nothing was done.

    The message of each is there `repeats` times more. Those that find nothing to do are done with faster than q2 could
    write their results: work alone would not be.
    """
    with transaction.atomic():
        for number in range(runs):
            run = engine.start("errand", number=number)
            Q2Executor().enqueue([run.id] * repeats)
    rig.start()
    until(lambda: _completed("errand") == runs, seconds=seconds, what="all runs completed", tell=_tell)
    written = list(Entry.objects.filter(what="errand").order_by("written_at").values_list("written_at", flat=True))
    return {
        "workers": Entry.objects.values("process").distinct().count(),
        "lasted": round((written[-1] - written[0]).total_seconds(), 1),
        "longest gap": round(max((after - before).total_seconds() for before, after in pairwise(written)), 2),
        "doubles": doubles(),
    }


def _labour_is_done(runs: int) -> bool:
    """Start what is missing; give True, for whoever asks again after an error."""
    labour_more(runs, share=1)
    return True


def _moved(stay: Stay, *, by: float) -> bool:
    move(stay, by=by)
    return True


@contextmanager
def spared() -> Iterator[None]:
    """Go on when the server that was struck was ours, too: what was refused was not promised."""
    try:
        yield
    except (DatabaseError, InterfaceError):
        connection.close()


def frozen(rig: Rig, *, runs: int, seconds: float) -> Facts:
    """A cluster that looks alive and does nothing, as q2's does when a worker is killed at the wrong moment."""
    mischief = Mischief(rig)
    mischief.supervise(GRACE="15", LOOK="2", AGE="10")
    until(lambda: Heartbeat.objects.filter(name="workflows").exists(), seconds=seconds, what="a sweep", tell=_tell)
    before = mischief.freeze()
    labour(runs)
    until(lambda: _completed() == runs, seconds=seconds, what="all runs completed", tell=_tell)
    return {"frozen": before, "alive": [main for main in before if is_main(main)], "doubles": doubles()}


def stale(rig: Rig, *, seconds: float = PATIENT_SECONDS) -> Facts:
    """Workers stand still in the middle of their work until others have done it, and then go on as if nothing were."""
    cluster = rig.start()
    engine.start("sleepwalker")
    engine.start("daydreamer")
    Stay.objects.create(arrives_at=_in(1), confirmed=True, kind="doorman")
    until(lambda: len(_stopped(cluster)) == 3, seconds=seconds, what="three workers stand still", tell=_tell)
    until(_settled, seconds=seconds, what="another has done their work", tell=_tell)
    stale = _stopped(cluster)
    before = dict(Counter(Entry.objects.values_list("what", flat=True)))
    for process in stale:
        os.kill(process, signal.SIGCONT)

    def have_gone_on() -> bool:
        errands(1)
        return set(stale) <= set(Entry.objects.filter(what="errand").values_list("process", flat=True))

    until(have_gone_on, seconds=seconds, what="they have ended what they were at, and take other work", tell=_tell)
    return {
        "stale": len(stale),
        "before": before,
        "after": dict(Counter(Entry.objects.exclude(what="errand").values_list("what", flat=True))),
        "states": _states(),
        "owed": EventDelivery.objects.exclude(status="delivered").count(),
    }


def _stopped(cluster: Cluster) -> list[int]:
    """Return the workers that stand still."""
    return [hand for hand in cluster.hands() if "(stopped)" in Path(f"/proc/{hand}/status").read_text()]


def labour_more(runs: int, *, share: float) -> None:
    """Start as many runs as make up this share of all."""
    there = WorkflowRun.objects.filter(name="labourer").count()
    with transaction.atomic():
        for number in range(there, min(runs, round(runs * share))):
            engine.start("labourer", number=number)


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _occurrences() -> Facts:
    """Compare what occurred with what was done about it: each once."""
    occurred = Counter(
        Event.objects.filter(event_name="arrival_due", status="occurred").values_list("entity_id", flat=True)
    )
    arrived = Counter(Entry.objects.filter(what="arrived").values_list("about", flat=True))
    early = Counter(Entry.objects.filter(what="early").values_list("about", flat=True))
    return {
        "occurred": occurred.total(),
        "arrived otherwise": {
            key: (occurred[key], arrived[key]) for key in occurred | arrived if occurred[key] != arrived[key]
        },
        "early otherwise": {
            key: (occurred[key], early[key]) for key in occurred | early if occurred[key] != early[key]
        },
    }


_LOSSES = (lost_in_redis, recycled)


def main(name: str, options: str) -> None:
    """Play a scene and print its facts as the last line."""
    scenes: dict[str, Callable[..., Facts]] = {
        scene.__name__: scene
        for scene in (day, share, backlog, hardships, stale, queues, flushed, frozen, crashes, piling_up, *_LOSSES)
    }
    end_with_parent()
    with rig() as stage:
        facts = scenes[name](stage, **json.loads(options))
    print(json.dumps({"database": connection.vendor, "broker": settings.Q_CLUSTER.get("orm", "redis"), **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
