"""Claims about transactions: all or nothing, nested, unseen until committed, and what is done after the commit."""

# ruff: noqa: PT012 (a transaction that raises is itself the block under test)

from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from automation.testing.contracts.builders import a_run, a_signal, moved
from automation.testing.contracts.side_by_side import reached
from automation.testing.contracts.subject import StorageSubject
from automation.workflows.errors import BrokenTransaction
from automation.workflows.ports import Storage
from automation.workflows.runs.values import Run

__all__ = ["TransactionClaims"]

_A_LOOK_SECONDS = 0.2
"""How long a reader may take before we take it to be waiting for the writer, which a storage may make it do."""


class _GoneWrongError(Exception):
    """What user code raises."""


class TransactionClaims(StorageSubject):
    """Guarantees 1, 4 and 7 of the Storage port, and `after_commit`."""

    def test_what_a_transaction_wrote_is_there_afterwards(self, storage: Storage) -> None:
        run, signal = a_run(), a_signal()

        with storage.transaction():
            storage.insert([run])
            storage.apply([moved(run, current_step="send")])
            storage.mailbox.post([signal])

        assert self.stored(storage, run.id).current_step == "send"
        assert list(storage.mailbox.undelivered(10)) == [signal]

    def test_a_transaction_that_raises_leaves_nothing(self, storage: Storage) -> None:
        before = self.put(storage, a_run())
        run = a_run()

        with pytest.raises(_GoneWrongError), storage.transaction():
            storage.insert([run])
            storage.apply([moved(before, current_step="send")])
            storage.mailbox.post([a_signal()])
            raise _GoneWrongError

        assert storage.load(run.id) is None
        assert self.stored(storage, before.id) == before
        assert list(storage.mailbox.undelivered(10)) == []

    def test_an_interrupt_undoes_the_transaction_like_any_error(self, storage: Storage) -> None:
        run = a_run()

        with pytest.raises(KeyboardInterrupt), storage.transaction():
            storage.insert([run])
            raise KeyboardInterrupt

        assert storage.load(run.id) is None

    def test_an_inner_transaction_that_raises_undoes_only_itself(self, storage: Storage) -> None:
        outer, inner, after = a_run(), a_run(), a_run()

        with storage.transaction():
            storage.insert([outer])
            with pytest.raises(_GoneWrongError), storage.transaction():
                storage.insert([inner])
                storage.apply([moved(outer, current_step="burn")])
                raise _GoneWrongError
            storage.insert([after])

        assert self.stored(storage, outer.id) == outer
        assert storage.load(inner.id) is None
        assert self.stored(storage, after.id) == after

    def test_an_inner_transaction_goes_with_the_outer_one(self, storage: Storage) -> None:
        inner = a_run()

        with pytest.raises(_GoneWrongError), storage.transaction():
            with storage.transaction():
                storage.insert([inner])
            raise _GoneWrongError

        assert storage.load(inner.id) is None

    def test_transactions_nest_deeply(self, storage: Storage) -> None:
        kept, undone = a_run(), a_run()

        with storage.transaction(), storage.transaction():
            with pytest.raises(_GoneWrongError), storage.transaction(), storage.transaction():
                storage.insert([undone])
                raise _GoneWrongError
            storage.insert([kept])

        assert storage.load(undone.id) is None
        assert self.stored(storage, kept.id) == kept

    def test_a_transaction_sees_what_it_wrote_itself(self, storage: Storage) -> None:
        run = a_run()

        with storage.transaction():
            storage.insert([run])
            assert self.stored(storage, run.id) == run
            assert self.due_ids(storage) == [run.id]
            storage.apply([moved(run, next_at=None)])
            assert self.due_ids(storage) == []

    def test_nobody_sees_what_is_not_committed(self, storage: Storage) -> None:
        """Another worker sees nothing of it, or waits until it is decided."""
        run, written, undone = a_run(), Event(), Event()

        def write_and_undo() -> None:
            with pytest.raises(_GoneWrongError), storage.transaction():
                storage.insert([run])
                written.set()
                reached(undone)
                raise _GoneWrongError

        writer = self.beside(write_and_undo)
        reached(written)
        reader = self.beside(lambda: (storage.load(run.id), storage.due(run.created_at, 10)))
        reader.is_done_within(_A_LOOK_SECONDS)
        undone.set()
        writer.result()

        seen, due = reader.result()
        assert seen is None
        assert list(due) == []

    def test_a_transaction_that_user_code_broke_takes_nothing_more_and_leaves_nothing(self, storage: Storage) -> None:
        before, run = self.put(storage, a_run()), a_run()

        with storage.transaction():
            storage.apply([moved(before, current_step="send")])
            if not self.swallow_an_error(storage):
                pytest.skip("No user code writes in this storage's transactions: swallow_an_error() gives False.")
            for refused in ([], [run]):
                with pytest.raises(BrokenTransaction):
                    storage.insert(refused)
            with pytest.raises(BrokenTransaction):
                storage.apply([moved(before, current_step="burn")])

        assert self.stored(storage, before.id) == before
        assert storage.load(run.id) is None

    # After the commit

    def test_an_action_runs_after_the_outermost_commit(self, storage: Storage) -> None:
        done: list[str] = []

        with storage.transaction():
            with storage.transaction():
                storage.after_commit(_noting(done, "action"))
            done.append("inner ended")

        assert done == ["inner ended", "action"]

    def test_what_an_action_sees_is_committed(self, storage: Storage) -> None:
        run = a_run()
        seen: list[object] = []

        with storage.transaction():
            storage.after_commit(lambda: seen.append(self.beside(lambda: storage.load(run.id)).result()))
            storage.insert([run])

        assert seen == [run]

    def test_an_action_runs_at_once_outside_of_a_transaction(self, storage: Storage) -> None:
        done: list[str] = []

        storage.after_commit(_noting(done, "action"))

        assert done == ["action"]

    def test_an_action_never_runs_after_a_rollback(self, storage: Storage) -> None:
        done: list[str] = []

        with pytest.raises(_GoneWrongError), storage.transaction():
            storage.after_commit(_noting(done, "action"))
            raise _GoneWrongError

        with storage.transaction():
            pass
        assert done == []

    def test_an_action_goes_with_the_inner_transaction_that_asked_for_it(self, storage: Storage) -> None:
        done: list[str] = []

        with storage.transaction():
            storage.after_commit(_noting(done, "outer"))
            with pytest.raises(_GoneWrongError), storage.transaction():
                storage.after_commit(_noting(done, "inner"))
                raise _GoneWrongError

        assert done == ["outer"]

    def test_an_action_that_raises_reaches_neither_the_caller_nor_the_other_actions(self, storage: Storage) -> None:
        done: list[str] = []

        def go_wrong() -> None:
            raise _GoneWrongError

        with storage.transaction():
            storage.after_commit(_noting(done, "first"))
            storage.after_commit(go_wrong)
            storage.after_commit(partial(go_wrong))
            storage.after_commit(_noting(done, "second"))
        storage.after_commit(partial(go_wrong))

        assert done == ["first", "second"]

    def test_an_action_may_open_a_transaction_of_its_own(self, storage: Storage) -> None:
        run = a_run()

        with storage.transaction():
            storage.after_commit(partial(self._put_quietly, storage, run))

        assert self.stored(storage, run.id) == run

    def _put_quietly(self, storage: Storage, run: Run) -> None:
        self.put(storage, run)


def _noting(done: list[str], what: str) -> Callable[[], None]:
    return lambda: done.append(what)
