"""SQLite without IMMEDIATE transactions, Django's default, is slower at handing over, and no less right."""

from functools import partial

import pytest
from django.db import connection, connections, transaction

from automation.testing.contracts.builders import a_run, moved
from automation.testing.contracts.side_by_side import Beside
from automation.workflows.core import engine
from automation.workflows.django_storage import DjangoStorage
from automation.workflows.errors import StaleRun
from automation.workflows.models import WorkflowRun
from tests.integration.conftest import Heap, StillClock

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])

TURNS = 25


def advance_many_times(run_id: object) -> None:
    """Read and write in one transaction, again and again."""
    storage = DjangoStorage()
    try:
        for _ in range(TURNS):
            with storage.transaction():
                run = storage.load(run_id)  # type: ignore[arg-type]
                assert run is not None
                try:
                    storage.apply([moved(run, visit=run.visit + 1)])
                except StaleRun as error:
                    raise AssertionError("who reads in a transaction here writes before anybody else") from error
    finally:
        connections.close_all()


@pytest.mark.parametrize("mode", ["IMMEDIATE", "DEFERRED"])
def test_readers_that_turn_writers_wait_for_each_other(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "transaction_mode", mode)
    run = a_run()
    DjangoStorage().insert([run])

    threads = [Beside(partial(advance_many_times, run.id)) for _ in range(4)]
    for thread in threads:
        thread.result()

    assert WorkflowRun.objects.get(pk=run.id).visit == 4 * TURNS


def test_where_commits_are_made_by_hand_the_sweep_does_what_is_owed(clock: StillClock, queue: Heap) -> None:
    transaction.set_autocommit(False)
    try:
        run = engine.start("waiter")
        engine.signal("ops:window_open", {"foo": 1})
        transaction.commit()
    finally:
        transaction.set_autocommit(True)

    engine.execute_step(run.id)
    engine.process_scheduled()
    queue.work_off()

    assert WorkflowRun.objects.get(pk=run.id).status == "completed"
