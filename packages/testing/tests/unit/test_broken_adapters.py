"""The contracts can fail: an adapter that breaks one guarantee fails the tests of that guarantee, and no others."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ADAPTERS = '''
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from automation.testing import FakeClock, FakeExecutor
from automation.testing.contracts import DispatcherContract, StorageContract
from automation.workflows.errors import StaleRun
from automation.workflows.memory import MemoryStorage


class Intact(StorageContract):
    storage_class = MemoryStorage

    def make_storage(self):
        return self.storage_class()

    def attempts_of(self, storage, run_id):
        return storage.attempts(run_id)


class TestIntact(Intact):
    pass


class WithoutRollback(MemoryStorage):
    @contextmanager
    def transaction(self):
        raised = None
        with super().transaction():
            try:
                yield
            except Exception as error:
                raised = error
        if raised is not None:
            raise raised


class TestWithoutRollback(Intact):
    storage_class = WithoutRollback


class LastWriteWins(MemoryStorage):
    def apply(self, transitions):
        with suppress(StaleRun):
            super().apply(transitions)


class TestLastWriteWins(Intact):
    storage_class = LastWriteWins


class WithoutKeys(MemoryStorage):
    def _stored(self, open_, run):
        return None


class TestWithoutKeys(Intact):
    storage_class = WithoutKeys


class LastInFirstOut(MemoryStorage):
    @property
    def mailbox(self):
        return Reversed(super().mailbox)


class Reversed:
    def __init__(self, mailbox):
        self._mailbox = mailbox

    def __getattr__(self, name):
        return getattr(self._mailbox, name)

    def undelivered(self, limit, *, name=None):
        return self._mailbox.undelivered(limit, name=name)[::-1]


class TestLastInFirstOut(Intact):
    storage_class = LastInFirstOut


class TestForgetful(Intact):
    def clean_up(self, storage, now):
        for table in (storage._tables.signals, storage._tables.undelivered, storage._tables._placed):
            table.clear()
        return True


class TestWithoutHistory(Intact):
    def attempts_of(self, storage, run_id):
        return []


class InTheFake(DispatcherContract):
    @pytest.fixture(autouse=True)
    def _clock(self):
        with FakeClock() as self.clock:
            yield

    def make_dispatcher(self):
        return FakeExecutor()

    def work_off(self, queue):
        queue.run_until_idle()

    def pass_time(self, queue, by):
        self.clock.advance(by)


class TestPunctual(InTheFake):
    pass


class Hasty(FakeExecutor):
    def hint(self, at, *, using):
        super().hint(datetime.now(UTC), using=using)


class TestHasty(InTheFake):
    def make_dispatcher(self):
        return Hasty()
'''

CLAIMS = {
    "a_transaction_that_raises_leaves_nothing": {"WithoutRollback"},
    "a_stale_move_changes_nothing": {"LastWriteWins"},
    "a_taken_key_gives_the_run_that_has_it": {"WithoutKeys"},
    "undelivered_signals_come_in_the_order_of_sending": {"LastInFirstOut"},
    "what_is_undelivered_is_kept": {"Forgetful"},
    "what_is_addressed_to_a_run_that_lives_is_kept": {"Forgetful"},
    "attempts_are_history": {"WithoutHistory"},
    "a_hint_is_never_early": {"Hasty"},
}
"""Tests of the contracts, each with the adapters above that must fail it; the others pass it, or skip it."""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return which adapters failed each of the claims."""
    folder: Path = tmp_path_factory.mktemp("adapters")
    (folder / "test_adapters.py").write_text(ADAPTERS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = ("-p", "no:django", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-W", "error")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, "-rf", "--tb=no", "-k", " or ".join(CLAIMS)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, set[str]] = {}
    for adapter, claim in re.findall(r"^FAILED test_adapters\.py::Test(\w+)::test_(\w+)", done.stdout, re.MULTILINE):
        found.setdefault(claim, set()).add(adapter)
    return found


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_adapter_that_breaks_a_guarantee_fails_its_test_and_no_other_adapter_does(
    failed: dict[str, set[str]], claim: str
):
    assert failed.get(claim) == CLAIMS[claim]
