"""MemoryStorage keeps the same contract as every other storage."""

from collections.abc import Sequence
from uuid import UUID

from automation.testing.contracts import StorageContract
from automation.workflows.memory import MemoryStorage
from automation.workflows.ports import Storage
from automation.workflows.runs.values import Attempt


class TestMemoryStorage(StorageContract):
    """Every claim of the contract."""

    def make_storage(self) -> Storage:
        return MemoryStorage()

    def attempts_of(self, storage: Storage, run_id: UUID) -> Sequence[Attempt]:
        assert isinstance(storage, MemoryStorage)
        return storage.attempts(run_id)
