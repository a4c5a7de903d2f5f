"""Real processes write a history; afterwards it is read like a ledger: nothing lost, nothing twice, all in order."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Sum

from automation.testing.contracts.side_by_side import Beside
from automation.workflows.engine.faults import POINTS
from automation.workflows.models import WorkflowAttempt, WorkflowReceipt, WorkflowRun, WorkflowSignal, WorkflowStatus
from tests.integration.nursery import ACCOUNTS, LISTS
from tests.parcelapp.models import Entry

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

LONG = bool(os.environ.get("AUTOMATION_LONG"))
KILLS = int(os.environ.get("AUTOMATION_KILLS", "1000" if LONG else "25"))
SEED = int(os.environ.get("AUTOMATION_SEED", "1"))
PATIENCE_SECONDS = 150 + 4 * KILLS
TRANSFERS = 60


def raise_workers(journal: Path, kills: int) -> Counter[str]:
    """Run the nursery to its end; return how many workers were killed at each point."""
    environment = {**os.environ, "AUTOMATION_NURSERY_DATABASE": str(connection.settings_dict["NAME"])}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.nursery_settings"
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.nursery", str(journal), str(kills), str(TRANSFERS), str(SEED)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5_000:]
    return Counter(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def sums_watched() -> Iterator[list[int]]:
    """Read the sum of all accounts again and again while the block runs; yield what was read."""
    seen: list[int] = []
    stop = Event()

    def watch() -> None:
        try:
            while not stop.wait(0.02):
                seen.append(Entry.objects.aggregate(sum=Sum("amount"))["sum"] or 0)
        finally:
            connections.close_all()

    watcher = Beside(watch)
    try:
        yield seen
    finally:
        stop.set()
        watcher.result()


def test_workers_side_by_side_lose_and_double_nothing(tmp_path: Path) -> None:
    with sums_watched() as sums:
        raise_workers(tmp_path / "journal", kills=0)

    assert_history(read(tmp_path / "journal"), sums)


def test_workers_that_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    with sums_watched() as sums:
        died = raise_workers(tmp_path / "journal", kills=KILLS)

    print(f"killed {died.total()} workers with seed {SEED}: {dict(died)}")
    assert died.total() == KILLS
    assert set(died) == set(POINTS)
    assert_history(read(tmp_path / "journal"), sums)


def read(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


def assert_history(journal: list[dict[str, Any]], sums: list[int]) -> None:
    """Check everything that is promised of a history."""
    assert_all_ended()
    assert_bank(sums)
    for name in LISTS:
        assert_list(name, [line for line in journal if line["name"] == name])


def assert_all_ended() -> None:
    statuses = Counter(WorkflowRun.objects.values_list("name", "status"))
    assert {status for _, status in statuses} == {WorkflowStatus.COMPLETED}, statuses
    assert not WorkflowSignal.objects.undelivered().exists()
    receipts = WorkflowReceipt.objects.values_list("run_id", "signal_id")
    assert len(receipts) == len(set(receipts))
    flaky = WorkflowRun.objects.filter(name="flaky").count()
    assert Entry.objects.filter(account="flaky").count() == flaky
    outcomes = Counter(WorkflowAttempt.objects.filter(run__name="flaky").values_list("outcome", flat=True))
    assert outcomes["complete"] == flaky


def assert_bank(sums: list[int]) -> None:
    """Every committed picture adds up to nothing, and every transfer was made once."""
    assert sums
    assert set(sums) == {0}
    made = Counter(Entry.objects.filter(account__in=[*ACCOUNTS, "in transit"]).values_list("account", "amount"))
    expected: Counter[tuple[str, int]] = Counter()
    for number in range(TRANSFERS):
        source, target, amount = ACCOUNTS[number % 3], ACCOUNTS[(number + 1) % 3], number + 1
        expected.update([(source, -amount), (target, amount), ("in transit", amount), ("in transit", -amount)])
    assert made == expected


def assert_list(name: str, journal: list[dict[str, Any]]) -> None:
    """Every signal known to be sent was heard once, none that was never sent, and none before one sent earlier."""
    heard: list[int] = WorkflowRun.objects.get(run_key=name).data["heard"]
    begun = {line["number"]: line["at"] for line in journal if line["what"] == "sends"}
    sent = {line["number"]: line["at"] for line in journal if line["what"] == "sent"}

    assert len(heard) == len(set(heard)), "a signal was heard twice"
    assert set(sent) <= set(heard), "a signal that was sent was not heard"
    assert set(heard) <= set(begun), "a signal was heard that nobody sent"
    assert Entry.objects.filter(account=name).count() == len(heard)
    assert_order(heard, begun, sent)


def assert_order(heard: list[int], begun: dict[int, int], sent: dict[int, int]) -> None:
    """Whatever was sent before another began to be sent was heard before it: the latest beginning so far tells."""
    latest = 0
    for number in heard:
        assert sent.get(number, sys.maxsize) >= latest, f"{number} was sent before one that was heard earlier began"
        latest = max(latest, begun[number])


def test_the_order_check_sees_a_wrong_order() -> None:
    """A checker that cannot fail proves nothing."""
    check: Callable[..., None] = assert_order
    check([1, 2], begun={1: 10, 2: 30}, sent={1: 20, 2: 40})
    with pytest.raises(AssertionError, match="sent before"):
        check([2, 1], begun={1: 10, 2: 30}, sent={1: 20, 2: 40})
