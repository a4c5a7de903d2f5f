"""Raises workers, real processes, some of which are killed at the moment they are told to be: `python -m` this.

It loads Django once and forks. A worker starts transfers, sends numbers, sweeps, and works on whatever is ready; what
it was told has happened it writes to a journal outside of the database. In the end healthy workers finish everything.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

WORKERS = 2
LIVES_SECONDS = 4.0
"""A worker that has not come to the point where it is to die is relieved after this time."""
LISTS = ("ears", "eyes")
ACCOUNTS = ("anna", "ben", "carl")


class Silence:
    """An executor whose every message is lost: workers find what is to be done by looking."""

    horizon = timedelta(0)

    def enqueue(self, run_ids: Sequence[UUID], *, run_after: datetime | None = None) -> None:
        """Lose it."""


class Journal:
    """What workers know to have happened, one line each, written at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, what: str, **details: Any) -> None:
        line = json.dumps({"what": what, "at": time.monotonic_ns(), **details}) + "\n"
        os.write(self._file, line.encode())


class Worker:
    """One worker's life."""

    def __init__(self, number: int, journal: Journal, transfers: int) -> None:
        self.number = number
        self.journal = journal
        self.transfers = transfers
        self.chance = random.Random(number)
        self.numbers = count(number * 1_000_000)

    def live(self, point: str, passes: int) -> None:
        """Work until killed at the n-th passing of a point, or relieved."""
        from automation.workflows.core import engine
        from automation.workflows.engine.faults import install

        left = [passes]

        def die() -> None:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        install(point, die)
        engine.start("flaky")
        until = time.monotonic() + LIVES_SECONDS
        while time.monotonic() < until:
            self.start_something(self.chance.randrange(self.transfers))
            self.say_something(self.chance.choice(LISTS))
            work_a_little(self.chance)

    def start_something(self, number: int) -> None:
        start_transfer(number)

    def say_something(self, name: str) -> None:
        from automation.workflows.core import engine

        number = next(self.numbers)
        self.journal.write("sends", number=number, name=name)
        engine.signal("append", {"number": number}, key=name)
        self.journal.write("sent", number=number, name=name)


def start_transfer(number: int) -> None:
    """Start a transfer once, by whoever: every amount names its transfer."""
    from automation.workflows.core import engine

    source, target = ACCOUNTS[number % 3], ACCOUNTS[(number + 1) % 3]
    engine.start("transfer", run_key=f"transfer {number}", source=source, target=target, amount=number + 1)


def work_a_little(chance: random.Random) -> bool:
    """Sweep, and work on what is ready; return whether there was anything."""
    from automation.workflows.core import engine
    from automation.workflows.models import WorkflowRun

    engine.process_scheduled(limit=50)
    ready = list(WorkflowRun.objects.ready().values_list("pk", flat=True)[:10])
    chance.shuffle(ready)
    for run_id in ready:
        engine.execute_step(run_id)
    return bool(ready)


def finish_everything(number: int) -> None:
    """Be a healthy worker until every run has ended."""
    from automation.workflows.models import WorkflowRun

    chance = random.Random(number)
    while WorkflowRun.objects.live().exists():
        if not work_a_little(chance):
            time.sleep(0.02)


def fork(action: Any) -> int:
    """Run `action` in a child process; return its id."""
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if child:
        return child
    try:
        action()
        connections.close_all()
    except BaseException as error:
        # A child must never return into its parent's stack.
        print(f"A worker died of {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def raise_and_kill(kills: int, orders: Iterator[tuple[str, int]], workers: Iterator[Worker]) -> Counter[str]:
    """Keep workers alive, each with an order to die, until enough have died; return how many died where."""
    died: Counter[str] = Counter()
    alive: dict[int, tuple[str, int]] = {}
    again: list[tuple[str, int]] = []
    while died.total() < kills or alive:
        while len(alive) < WORKERS and died.total() + len(alive) < kills:
            order = again.pop() if again else next(orders)
            worker = next(workers)
            alive[fork(lambda worker=worker, order=order: worker.live(*order))] = order
        child, status = os.wait()
        order = alive.pop(child)
        if os.WIFSIGNALED(status):
            died[order[0]] += 1
        else:
            again.append((order[0], 1))
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit("A worker died of something else than its order.")
    return died


def work_together(journal: Journal, transfers: int, workers: Iterator[Worker]) -> None:
    """Let some workers live their lives side by side, unharmed."""
    never = ("sweep.after_row", sys.maxsize)
    together = [next(workers) for _ in range(WORKERS + 1)]
    for child in [fork(lambda worker=worker: worker.live(*never)) for worker in together]:
        expect_well(child)


def expect_well(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"A healthy worker ended with {status}.")


def main(journal_path: str, kills: str, transfers: str, seed: str) -> None:
    """Kill so many workers, then let healthy ones finish; print where they were killed."""
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = os.environ["AUTOMATION_NURSERY_DATABASE"]
    django.setup()
    from automation.workflows.core import engine
    from automation.workflows.engine.faults import POINTS

    engine.bind(executor=Silence())
    journal, chance = Journal(Path(journal_path)), random.Random(int(seed))
    orders = ((POINTS[number % len(POINTS)], chance.randint(1, 4)) for number in count())
    workers = (Worker(number, journal, int(transfers)) for number in count(1))
    for name in LISTS:
        engine.start("list", run_key=name, name=name)
    died: Counter[str] = Counter()
    if int(kills):
        died = raise_and_kill(int(kills), orders, workers)
    else:
        work_together(journal, int(transfers), workers)
    for number in range(int(transfers)):
        start_transfer(number)
    for name in LISTS:
        engine.signal("append", {"number": -1}, key=name)
    for child in [fork(lambda number=number: finish_everything(number)) for number in range(WORKERS)]:
        expect_well(child)
    print(json.dumps(died))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main(*sys.argv[1:])
