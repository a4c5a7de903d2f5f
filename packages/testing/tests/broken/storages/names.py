"""Locks on names that hold nobody back, or the wrong one."""

from automation.workflows.engine.memory.mailbox import MemoryMailbox
from tests.broken.storages.intact import mailbox


@mailbox(
    "a_name_cannot_be_locked_outside_of_a_transaction",
)
class LocksOutsideOfATransaction(MemoryMailbox):
    def lock(self, name):
        if self._current() is not None:
            super().lock(name)


@mailbox(
    "a_name_is_locked_twice_in_one_transaction_without_harm",
)
class LocksOnce(MemoryMailbox):
    def lock(self, name):
        open_ = self._current()
        if open_ is not None and open_._locks._owners.get(("name", name)) is open_:
            raise RuntimeError("locked already")
        super().lock(name)


@mailbox(
    "a_new_name_is_locked_by_one_at_a_time",
    "who_locks_a_name_second_waits_and_sees_what_the_first_committed",
)
class LocksNothing(MemoryMailbox):
    def lock(self, name):
        if self._current() is None:
            super().lock(name)


@mailbox(
    "a_new_name_is_locked_by_one_at_a_time",
    "who_locks_a_name_second_waits_and_sees_what_the_first_committed",
)
class LocksWhatWasLockedBefore(MemoryMailbox):
    def __init__(self, *given):
        super().__init__(*given)
        self.locked_before = set()

    def lock(self, name):
        if self._current() is None or name in self.locked_before:
            super().lock(name)
        self.locked_before.add(name)
