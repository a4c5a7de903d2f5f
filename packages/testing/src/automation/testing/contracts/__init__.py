"""What an adapter must do, as test classes to subclass: one test for each thing that the engine relies on.

    class TestMyStorage(StorageContract):
        def make_storage(self) -> Storage:
            return MyStorage(...)

Run them with pytest; they need `automation-workflows`, and DispatcherContract `automation-events` as well. An adapter
that passes them is one that the engine, or events, can run on.
"""

from automation.testing.contracts.dispatcher import DispatcherContract
from automation.testing.contracts.executor import ExecutorContract
from automation.testing.contracts.storage import StorageContract
from automation.testing.contracts.transport import Transport

__all__ = ["DispatcherContract", "ExecutorContract", "StorageContract", "Transport"]
