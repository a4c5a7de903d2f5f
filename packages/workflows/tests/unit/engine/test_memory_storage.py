"""MemoryStorage keeps the same contract as every other storage."""

from collections.abc import Callable, Sequence, ValuesView
from typing import Any
from uuid import UUID

from automation.testing.contracts import StorageContract
from automation.workflows.memory import MemoryStorage
from automation.workflows.ports import Storage
from automation.workflows.runs.values import Attempt, Run


class CountedRuns(dict[UUID, Run]):
    """Counts how many runs are read."""

    read = 0

    def __getitem__(self, key: UUID) -> Run:
        self.read += 1
        return super().__getitem__(key)

    def get(self, key: UUID, default: Any = None) -> Any:
        self.read += 1
        return super().get(key, default)

    def values(self) -> ValuesView[Run]:  # type: ignore[override]
        self.read += len(self)
        return super().values()  # type: ignore[return-value]


class TestMemoryStorage(StorageContract):
    """Every claim of the contract."""

    def make_storage(self) -> Storage:
        return MemoryStorage()

    def effort_of(self, storage: Storage, lookup: Callable[[], object]) -> int:
        assert isinstance(storage, MemoryStorage)
        runs = storage._tables.runs = CountedRuns(storage._tables.runs)
        lookup()
        return runs.read

    def attempts_of(self, storage: Storage, run_id: UUID) -> Sequence[Attempt]:
        assert isinstance(storage, MemoryStorage)
        return storage.attempts(run_id)
