"""Transactions that leave too much, too little, or show it too early."""

from contextlib import contextmanager

from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import BROKEN, Intact, beside, storage
from tests.broken.telling import breaks


class CommitsAll(MemoryStorage):
    """Commits although something of this kind was raised, and passes it on afterwards."""

    commits: type[BaseException]

    @contextmanager
    def transaction(self):
        raised = None
        with super().transaction() as open_:
            try:
                yield open_
            except self.commits as error:
                raised = error
        if raised is not None:
            raise raised


@storage(
    "a_move_goes_with_the_transaction_that_made_it",
    "a_position_goes_with_the_transaction_that_allotted_it",
    "a_transaction_that_raises_leaves_nothing",
    "an_action_goes_with_the_inner_transaction_that_asked_for_it",
    "an_action_never_runs_after_a_rollback",
    "an_inner_transaction_goes_with_the_outer_one",
    "an_inner_transaction_that_raises_undoes_only_itself",
    "transactions_nest_deeply",
)
class WithoutRollback(CommitsAll):
    commits = Exception


@storage(
    "an_interrupt_undoes_the_transaction_like_any_error",
)
class CommitsWhatIsInterrupted(CommitsAll):
    commits = KeyboardInterrupt


@storage(
    "an_action_goes_with_the_inner_transaction_that_asked_for_it",
    "an_inner_transaction_that_raises_undoes_only_itself",
    "transactions_nest_deeply",
)
class WithoutSavepoints(MemoryStorage):
    @contextmanager
    def transaction(self):
        if (outer := self._transactions.current) is not None:
            yield outer
            return
        with super().transaction() as open_:
            yield open_


@storage(
    "an_inner_transaction_goes_with_the_outer_one",
)
class CommitsInnerTransactions(MemoryStorage):
    @contextmanager
    def transaction(self):
        is_inner = self._transactions.current is not None
        with super().transaction() as open_:
            yield open_
            if is_inner:
                self._tables.commit(open_.changes)


@storage(
    "transactions_nest_deeply",
)
class UndoesTheWholeFromTheThirdLevel(MemoryStorage):
    depth = 0

    @contextmanager
    def transaction(self):
        self.depth += not beside()
        try:
            with super().transaction() as open_:
                try:
                    yield open_
                except Exception:
                    if self.depth >= 4:
                        open_.changes.runs.clear()
                    raise
        finally:
            self.depth -= not beside()

    def insert(self, runs):
        given = super().insert(runs)
        if self.depth == 4:
            self._tables.commit(self._transactions.current.changes)
        return given


@storage(
    "a_transaction_sees_what_it_wrote_itself",
)
class ReadsOnlyWhatIsCommitted(MemoryStorage):
    def due(self, now, limit):
        return [run for run in super().due(now, limit) if run.id in self._tables.runs]


@storage(
    "nobody_sees_what_is_not_committed",
)
class ReadsWhatIsNotCommitted(MemoryStorage):
    @contextmanager
    def transaction(self):
        with super().transaction() as open_:
            self._writing = open_
            yield open_

    def load(self, run_id):
        found = super().load(run_id)
        is_elsewhere = self._transactions.current is None and hasattr(self, "_writing")
        return found or (self._writing.changes.runs.get(run_id) if is_elsewhere and beside() else None)


@storage(
    "what_a_transaction_wrote_is_there_afterwards",
)
class LosesSignalsOfRuns(MemoryStorage):
    @contextmanager
    def transaction(self):
        with super().transaction() as open_:
            yield open_
            if open_.changes.runs and open_.changes.signals and not open_.changes.receipts:
                open_.changes.signals.clear()


@breaks(
    BROKEN,
    "a_transaction_that_user_code_broke_takes_nothing_more_and_leaves_nothing",
)
class GoesOnInABrokenTransaction(Intact):
    def swallow_an_error(self, storage):
        return True
