"""What the engine costs, in statements and commits, counted as the design counts them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections

from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.rows import signal_from_row
from automation.workflows.runs.values import Run, StandingWait
from tests.integration.conftest import DATABASE, Heap, ParcelEvents, StillClock
from tests.parcelapp.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

WAITERS = 10_000 if DATABASE == "postgres" else 2_000


@dataclass
class Spent:
    """What was sent to the database inside a block."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0

    def on_execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")):
            self.statements.append(sql)
        return execute(sql, params, many, context)


@contextmanager
def spending(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spent]:
    """Count commits, and statements without BEGIN, COMMIT and savepoints."""
    spent = Spent()
    real = connections["default"]
    commit = real._commit

    def counted() -> None:
        spent.commits += 1
        commit()

    with monkeypatch.context() as patched, connection.execute_wrapper(spent.on_execute):
        patched.setattr(real, "_commit", counted)
        yield spent


@pytest.mark.parametrize("steps", [1, 10, 90])
def test_a_chain_of_n_steps_costs_n_and_two_commits_and_four_statements_a_step(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    with spending(monkeypatch) as spent:
        run = engine.start("chain", steps=steps)
        queue.work_off()

    assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.COMPLETED
    assert spent.commits <= steps + 2
    # Besides the steps: the start reads a position and inserts, the claim loads and takes.
    assert len(spent.statements) - 4 <= 4 * steps
    assert len(queue.hints) == 0


def test_a_step_that_waits_or_sleeps_costs_four_statements(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.start("waiter")
    queue.work_off()
    for workflow in ("waiter", "sleeper", "late riser", "parent"):
        engine.start(workflow)
        with spending(monkeypatch) as spent:
            engine.execute_step(queue.hints.pop()[0])
        claim = 2
        assert len(spent.statements) - claim <= 4, "\n".join(spent.statements)


def test_a_wait_whose_signal_is_there_costs_one_statement_more_for_its_receipt(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.AUTOMATION_WORKFLOWS = {"STEPS_PER_CLAIM": 1}
    run = engine.start("meeting", how="wait")
    engine.signal("meet", {"heard": 1})

    with spending(monkeypatch) as spent:
        engine.execute_step(run.id)

    assert WorkflowRun.objects.get(pk=run.id).current_step == "leave"
    claim, own = 2, 1
    assert len(spent.statements) - claim - own <= 5, "\n".join(spent.statements)


def test_an_idle_sweep_asks_three_questions(clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.start("waiter")
    engine.start("sleeper")
    queue.work_off()

    with spending(monkeypatch) as spent:
        engine.process_scheduled()

    assert len(spent.statements) <= 3
    assert all(sql.startswith("SELECT") for sql in spent.statements)


def test_an_idle_hint_costs_one_look(clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubled or late message finds nothing to do."""
    run = engine.start("sleeper")
    queue.work_off()

    with spending(monkeypatch) as spent:
        engine.execute_step(run.id)

    assert len(spent.statements) == 1


def test_a_signal_to_thousands_of_waiting_runs_costs_a_few_statements_for_each_five_hundred(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_waiters(WAITERS)

    with spending(monkeypatch) as sending:
        engine.signal("ops:window_open", {"foo": 1})
    with spending(monkeypatch) as sweeping:
        engine.process_scheduled(limit=WAITERS)

    assert WorkflowRun.objects.filter(status=WorkflowStatus.READY).count() == WAITERS
    # The caller wakes the first 500 itself: one post, one batch.
    assert len(sending.statements) <= 15
    assert len(sweeping.statements) <= 10 * (WAITERS // 500) + 10


def test_a_run_that_waits_keeps_nothing_but_its_row(clock: StillClock, queue: Heap) -> None:
    """Nothing in the process: neither the run nor its id."""
    start_waiters(5, queue)
    before = kept_of_runs()
    start_waiters(40, queue)

    assert WorkflowRun.objects.waiting().count() == 45
    assert kept_of_runs() - before < 40


def test_a_parent_that_is_cancelled_takes_its_children_along_in_one_commit(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = engine.start("family", children=50)
    engine.execute_step(run.id)

    with spending(monkeypatch) as spent:
        engine.cancel(run.id)

    assert WorkflowRun.objects.cancelled().count() == 51
    # Each is read by itself, and all are written together.
    assert len(spent.statements) <= 50 + 15
    assert spent.commits == 1
    assert not WorkflowSignal.objects.exists()


def test_signals_of_one_step_cost_a_look_for_waiters_each_and_the_rest_together(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are posted, placed and finished by the hundred, whatever their number."""

    def spent_on(signals: int) -> int:
        run = engine.start("babbler", name="nobody", count=signals)
        with spending(monkeypatch) as spent:
            engine.execute_step(run.id)
        assert not WorkflowSignal.objects.filter(pending=True).exists()
        return len(spent.statements)

    few, many = spent_on(100), spent_on(600)

    assert WorkflowSignal.objects.values("position").distinct().count() == 100 + 600
    assert many - few <= 500 + 5 * 20


def test_those_who_wait_for_the_name_and_not_for_the_signal_are_looked_at_in_pages(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They began to wait after it was delivered: nothing but a look at each wait can tell."""
    engine.signal("ops:window_open", {"foo": 1})
    plant_waiters(300)
    storage = engine._starter._runtime.storage
    signal = signal_from_row(WorkflowSignal.objects.get())

    with spending(monkeypatch) as spent, storage.transaction():
        assert list(storage.mailbox.waiters(signal, 1)) == []

    assert len(spent.statements) <= 10


def test_a_wait_since_an_hour_ago_does_not_read_what_is_older(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = clock.now() - timedelta(days=2)
    WorkflowSignal.objects.bulk_create(
        WorkflowSignal(signal_id=uuid4(), name="ops:window_open", sent_at=old, position=number, pending=None)
        for number in range(1, 501)
    )
    storage = engine._starter._runtime.storage
    wait = StandingWait(signal="ops:window_open", sent_after=clock.now() - timedelta(hours=1))

    with spending(monkeypatch) as spent, storage.transaction():
        assert not storage.mailbox.matching(uuid4(), wait, limit=1)

    assert len(spent.statements) <= 2


def test_a_date_edit_moves_all_its_reserved_starts_in_one_statement(
    clock: StillClock, queue: Heap, events: ParcelEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels = [Parcel.objects.create() for _ in range(50)]
    occurrences = [events.add("checkout_due", parcel, clock.now() + timedelta(days=9)) for parcel in parcels]
    engine.plan(occurrences)
    later = [events.add("checkout_due", parcel, clock.now() + timedelta(days=19)) for parcel in parcels]

    with spending(monkeypatch) as moving:
        engine.move(later)
    with spending(monkeypatch) as withdrawing:
        engine.withdraw(later, "gone")

    assert len(moving.statements) == len(withdrawing.statements) == 1
    assert {run.status for run in WorkflowRun.objects.all()} == {WorkflowStatus.CANCELLED}


def start_waiters(number: int, queue: Heap) -> None:
    """Start so many runs that wait, and forget them and their hints."""
    for _ in range(number):
        engine.execute_step(engine.start("waiter").id)
    queue.hints = []


def kept_of_runs() -> int:
    """Count the runs and keys that the process holds."""
    gc.collect()
    return sum(isinstance(each, Run | UUID) for each in gc.get_objects())


def plant_waiters(number: int) -> None:
    """Put so many runs into one wait, without working each of them there."""
    engine.execute_step(engine.start("waiter").id)
    (one,) = WorkflowRun.objects.all()
    fields = {each.attname: getattr(one, each.attname) for each in WorkflowRun._meta.concrete_fields}
    copies = [WorkflowRun(**{**fields, "id": uuid4()}) for _ in range(number - 1)]
    WorkflowRun.objects.bulk_create(copies, batch_size=500)
