"""The rules of events, each broken once: `python -m tests.mutation.mutants` tells which test notices.

Every mutant is one change to a copy of the source, judged by the files of tests that it names, on the database of the
environment. One that no test kills is a hole in the suite.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MUTANTS", "PACKAGE", "Mutant", "Undecided", "killer"]

LIMIT_SECONDS = 1200
HERE = Path(__file__).resolve().parents[2]
PACKAGE = HERE / "src" / "automation" / "events"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule, broken."""

    name: str
    file: str
    before: str
    after: str
    judges: Sequence[str]
    """The files below `tests` that must notice."""


UNIT = ("unit",)
SCHEDULED = ("integration/test_scheduled.py",)
OFFSETS = ("integration/test_offsets.py", "integration/test_deploys.py")
DELIVERIES = ("integration/test_deliveries.py",)
IMMEDIATE = ("integration/test_immediate.py",)
RACES = ("integration/test_races.py",)

MUTANTS: Sequence[Mutant] = (
    Mutant(
        "what is due exactly now is not due",
        "polling.py",
        "due = rows.filter(next_at__lte=now)",
        "due = rows.filter(next_at__lt=now)",
        SCHEDULED,
    ),
    Mutant(
        "only the last day is looked back on",
        "polling.py",
        "due = rows.filter(next_at__lte=now)",
        "due = rows.filter(next_at__lte=now, next_at__gte=now - timedelta(days=1))",
        SCHEDULED,
    ),
    Mutant(
        "clean-up deletes the mark that an event has occurred",
        "cleanup.py",
        "kept = _still_needed(batch, using=using)",
        "kept: set[Any] = set()",
        ("integration/test_cleanup.py",),
    ),
    Mutant(
        "clean-up deletes what has become history meanwhile",
        "cleanup.py",
        "is not old history.\n        rows = Event.objects.using(using).filter(as_read(events))",
        "\n        rows = Event.objects.using(using).filter(pk__in=[event.pk for event in events])",
        ("integration/test_cleanup.py",),
    ),
    Mutant(
        "clean-up empties what has been armed again meanwhile",
        "cleanup.py",
        "def _empty(events: Sequence[Event], *, using: str) -> int:\n    if not events:\n        return 0\n"
        "    with transaction.atomic(using=using):\n        rows = Event.objects.using(using).filter(as_read(events))",
        "def _empty(events: Sequence[Event], *, using: str) -> int:\n    if not events:\n        return 0\n"
        "    with transaction.atomic(using=using):\n"
        "        rows = Event.objects.using(using).filter(pk__in=[event.pk for event in events])",
        ("integration/test_cleanup.py",),
    ),
    Mutant(
        "a relayed change overtakes one that is parked",
        "holding.py",
        "        status__in=[DeliveryStatus.PENDING, DeliveryStatus.PARKED],",
        "        status__in=[DeliveryStatus.PENDING],",
        ("integration/test_databases.py",),
    ),
    Mutant(
        "arming again keeps the generation",
        "lifecycle/reconcile.py",
        "_first_state(snapshot, generation=existing.generation + 1, now=now),",
        "_first_state(snapshot, generation=existing.generation, now=now),",
        UNIT,
    ),
    Mutant(
        "clearing a date keeps the generation",
        "lifecycle/reconcile.py",
        "status=advance(existing.status, Cause.DISARMED),\n        generation=existing.generation + 1,",
        "status=advance(existing.status, Cause.DISARMED),\n        generation=existing.generation,",
        UNIT,
    ),
    Mutant(
        "a date that is taken back occurs again",
        "lifecycle/reconcile.py",
        "    if existing.previous_at is None or snapshot.at is None:\n        return False",
        "    return False",
        UNIT,
    ),
    Mutant(
        "the condition is not asked again when the event is due",
        "occurring.py",
        "    change = judge(seen, existing, now)",
        "    change = judge(replace(seen, holds=True), existing, now)",
        SCHEDULED,
    ),
    Mutant(
        "the date is not compared again when the event is due",
        "lifecycle/reconcile.py",
        "    moved = snapshot.scheduled and snapshot.at != existing.at and not _date_unknown(snapshot)",
        "    moved = False",
        UNIT,
    ),
    Mutant(
        "a batch stops at its first error",
        "occurring.py",
        "    if len(events) == 1:\n        return _give_up",
        "    raise error\n    if len(events) == 1:\n        return _give_up",
        ("integration/test_faults.py",),
    ),
    Mutant(
        "an early call that cannot be looked at stops the rest",
        "delivering.py",
        "        _put_off(delivery, error, using=using)\n        return False",
        "        raise",
        OFFSETS,
    ),
    Mutant(
        "a row is written though somebody was faster",
        "rows.py",
        "guard |= Q(revision=revision, pk__in=ids)",
        "guard |= Q(pk__in=ids)",
        RACES,
    ),
    Mutant(
        "a call is completed under a claim that is lost",
        "delivering.py",
        "pk=delivery.pk, claim=delivery.claim, status=DeliveryStatus.PENDING",
        "pk=delivery.pk, status=DeliveryStatus.PENDING",
        DELIVERIES,
    ),
    Mutant(
        "a callback and its record are two transactions",
        "delivering.py",
        "        with transaction.atomic(using=using), noticing_rollbacks(using):\n            _run_between_faults",
        "        with noticing_rollbacks(using):\n            _run_between_faults",
        DELIVERIES,
    ),
    Mutant(
        "what is no Exception goes unrecorded",
        "delivering.py",
        "    except BaseException as error:",
        "    except Exception as error:",
        DELIVERIES,
    ),
    Mutant(
        "the work after a commit comes before it",
        "inline.py",
        "transaction.on_commit(lambda: _follow(work), using=using, robust=True)",
        "_follow(work)",
        IMMEDIATE,
    ),
    Mutant(
        "a condition that turns there and back within a transaction has turned",
        "snapshots.py",
        '    held: bool | None = memory(using).setdefault(("held", event.id), event.condition_held)\n    return held',
        "    return None",
        IMMEDIATE,
    ),
    Mutant(
        "a deleted entity leaves its key taken",
        "settling.py",
        'values |= {"current_key": None, "entity_data": decision.entity_data}',
        'values |= {"entity_data": decision.entity_data}',
        ("integration/test_models.py", *SCHEDULED),
    ),
    Mutant(
        "a call begins without a look at its event",
        "delivering.py",
        "        if derived and not in_line(delivery, using=using, now=now):",
        "        if False:",
        OFFSETS,
    ),
    Mutant(
        "a held call that has begun is not woken",
        "deliveries.py",
        "waiting = _of_events(held, using=using).filter(status=DeliveryStatus.PENDING, next_at__isnull=True)",
        "waiting = _unbegun(held, using=using).filter(next_at__isnull=True)",
        OFFSETS,
    ),
    Mutant(
        "calls do not move with the date",
        "deliveries.py",
        '    unbegun.update(due_at=due_at, next_at=due_at, why="")',
        '    unbegun.update(why="")',
        OFFSETS,
    ),
    Mutant(
        "what an outage has held up expires when its date is corrected",
        "lifecycle/reconcile.py",
        "if snapshot.at < earlier(now, snapshot.late_limit) and not _came(existing, now):",
        "if snapshot.at < earlier(now, snapshot.late_limit):",
        UNIT,
    ),
)


class Undecided(Exception):
    """The tests neither passed nor failed: they were stopped, or could not be run. That is no kill."""


def killer(mutant: Mutant) -> str | None:
    """Return the first test that fails with the mutant in place; None when all pass. Raises Undecided."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "automation" / "events"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        changed = copy / mutant.file
        source = changed.read_text()
        assert source.count(mutant.before) == 1, f"{mutant.name!r} no longer fits {mutant.file}"
        changed.write_text(source.replace(mutant.before, mutant.after))
        return _first_failure(folder, [f"tests/{judge}" for judge in mutant.judges])


def _first_failure(folder: str, tests: Sequence[str]) -> str | None:
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("AUTOMATION_LONG", None)
    environment["AUTOMATION_TEST_SUFFIX"] = environment.get("AUTOMATION_TEST_SUFFIX", "") + "_mutants"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Undecided(f"the tests did not end within {LIMIT_SECONDS} seconds") from None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if failed is not None:
        return failed.group(1)
    if done.returncode:
        raise Undecided(f"pytest ended with {done.returncode}: {done.stderr[-300:]}")
    return None


def main() -> int:
    """Report every mutant, or those whose numbers are given; return how many no test is known to kill."""
    survivors = 0
    chosen = sys.argv[1:]
    for number, mutant in enumerate(MUTANTS, start=1):
        if chosen and str(number) not in chosen:
            continue
        try:
            verdict = killer(mutant) or "SURVIVES"
        except Undecided as error:
            verdict = f"UNDECIDED: {error}"
        survivors += verdict.startswith(("SURVIVES", "UNDECIDED"))
        print(f"{number:3} {mutant.name}: {verdict}", flush=True)
    print(f"{survivors} not killed")
    return survivors


if __name__ == "__main__":
    sys.exit(main())
