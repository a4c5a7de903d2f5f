"""The contracts can fail: an adapter that breaks one guarantee fails the tests of that guarantee, and no others.

What is broken is in tests/broken, each with the claims that it must fail. It is run in this process: pytest within
pytest takes minutes for so many.
"""

import inspect
import logging

import pytest

from automation.events.ports import wiring
from automation.testing.contracts import DispatcherContract, ExecutorContract, StorageContract, mailbox, transactions
from automation.testing.contracts.dispatcher import RecordingProcessor
from automation.testing.contracts.executor import RecordingWorker
from automation.workflows import ports as workflows
from tests.broken import dispatchers, executors, storages
from tests.broken.telling import claims_of, failed_claims

SLOW = {
    claim
    for claim in claims_of(StorageContract)
    if any(each in inspect.getsource(getattr(StorageContract, f"test_{claim}")) for each in ("self.beside", "_A_LOOK"))
} | {
    "a_thousand_runs_are_inserted_at_once",
    "a_wait_does_not_get_a_signal_that_the_run_has_consumed",
    "both_sides_agree_with_the_guards_of_a_wait",
    "both_sides_agree_with_the_rule_for_waits",
    "many_moves_are_stored_at_once_each_as_it_says",
    "many_occurrences_are_withdrawn_at_once",
    "many_occurrences_move_at_once_each_to_its_own_date",
    "one_stale_move_undoes_the_whole_call",
    "what_has_ended_costs_a_lookup_nothing",
}
"""Claims with threads or with crowds: run for those adapters alone that must fail them, and for those that must not."""

INTACT = {
    "plain": storages.Intact,
    "counting": storages.Counting,
    "measured": storages.Measured,
    "tidying": storages.Tidying,
}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch):
    """What is blocked by a lock is looked at for long: on a busy machine a thread that is not blocked may be late."""
    for module in (mailbox, transactions):
        monkeypatch.setattr(module, "_A_LOOK_SECONDS", 5.0)
    monkeypatch.setattr(logging.getLogger("automation.workflows"), "disabled", True)


@pytest.mark.parametrize("name", storages.BROKEN)
def test_a_broken_storage_fails_the_claims_of_what_it_breaks_and_no_others(name: str):
    contract, expected = storages.BROKEN[name]
    claims = [claim for claim in claims_of(StorageContract) if claim not in SLOW or claim in expected]

    assert failed_claims(contract, claims, lambda subject: {"storage": subject.make_storage()}) == expected


@pytest.mark.parametrize("name", INTACT)
def test_a_storage_that_is_not_broken_fails_nothing(name: str, monkeypatch: pytest.MonkeyPatch):
    for module in (mailbox, transactions):
        monkeypatch.setattr(module, "_A_LOOK_SECONDS", 0.05)

    failed = failed_claims(
        INTACT[name], claims_of(StorageContract), lambda subject: {"storage": subject.make_storage()}
    )

    assert failed == frozenset()


class TestDispatchers:
    @pytest.fixture
    def fixtures(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
        """What the tests of the contract ask for."""

        def make(subject: DispatcherContract):
            caplog.clear()
            monkeypatch.setattr(wiring, "processor", RecordingProcessor())
            return {"processor": wiring.processor, "dispatcher": subject.make_dispatcher(), "caplog": caplog}

        return make

    @pytest.mark.parametrize("name", dispatchers.BROKEN)
    def test_a_broken_one_fails_the_claims_of_what_it_breaks_and_no_others(self, fixtures, name: str):
        contract, expected = dispatchers.BROKEN[name]

        assert failed_claims(contract, claims_of(DispatcherContract), fixtures) == expected

    def test_one_that_is_not_broken_fails_nothing(self, fixtures):
        assert failed_claims(dispatchers.IntactQueue, claims_of(DispatcherContract), fixtures) == frozenset()


class TestExecutors:
    @pytest.fixture
    def fixtures(self, monkeypatch: pytest.MonkeyPatch):
        """What the tests of the contract ask for."""

        def make(subject: ExecutorContract):
            monkeypatch.setattr(workflows.wiring, "worker", RecordingWorker())
            return {"worker": workflows.wiring.worker, "executor": subject.make_executor()}

        return make

    @pytest.mark.parametrize("name", executors.BROKEN)
    def test_a_broken_one_fails_the_claims_of_what_it_breaks_and_no_others(self, fixtures, name: str):
        contract, expected = executors.BROKEN[name]

        assert failed_claims(contract, claims_of(ExecutorContract), fixtures) == expected

    def test_one_that_is_not_broken_fails_nothing(self, fixtures):
        assert failed_claims(executors.IntactQueue, claims_of(ExecutorContract), fixtures) == frozenset()


@pytest.mark.parametrize(
    ("contract", "broken"),
    [(StorageContract, storages), (DispatcherContract, dispatchers), (ExecutorContract, executors)],
)
def test_every_claim_has_an_adapter_that_fails_it(contract: type, broken):
    claims = set(claims_of(contract))
    failed = {claim for _, expected in broken.BROKEN.values() for claim in expected}

    assert sorted(claims - failed) == [], "Give each of these an adapter in tests/broken that breaks it."
    assert sorted(failed - claims) == [], "There are no such claims (any more)."
    assert [name for name, (_, expected) in broken.BROKEN.items() if not expected] == []
