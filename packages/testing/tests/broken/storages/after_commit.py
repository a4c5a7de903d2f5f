"""Actions that run too early, never, or that reach who has committed."""

from contextlib import contextmanager

from automation.workflows.engine.memory.transactions import call_after_commit
from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import beside, storage


@storage(
    "an_action_goes_with_the_inner_transaction_that_asked_for_it",
    "an_action_never_runs_after_a_rollback",
    "an_action_runs_after_the_outermost_commit",
    "what_an_action_sees_is_committed",
)
class ActsAtOnce(MemoryStorage):
    def after_commit(self, action):
        call_after_commit(action)


@storage(
    "an_action_runs_at_once_outside_of_a_transaction",
)
class WaitsForACommitThatNeverComes(MemoryStorage):
    def after_commit(self, action):
        if self._transactions.current is not None:
            super().after_commit(action)


@storage(
    "an_action_never_runs_after_a_rollback",
)
class ActsAfterARollback(MemoryStorage):
    def __init__(self):
        super().__init__()
        self._left = []

    @contextmanager
    def transaction(self):
        is_outermost = self._transactions.current is None
        with super().transaction() as open_:
            try:
                yield open_
            except Exception:
                if is_outermost:
                    self._left += open_.actions
                raise
            if is_outermost:
                open_.actions += self._left


@storage(
    "an_action_goes_with_the_inner_transaction_that_asked_for_it",
)
class KeepsActionsOfInnerTransactions(MemoryStorage):
    @contextmanager
    def transaction(self):
        is_inner = self._transactions.current is not None
        kept = []
        try:
            with super().transaction() as open_:
                try:
                    yield open_
                finally:
                    kept = list(open_.actions)
        except Exception:
            if is_inner:
                self._transactions.current.actions[:] = kept
            raise


@storage(
    "an_action_that_raises_reaches_neither_the_caller_nor_the_other_actions",
)
class LetsActionsRaise(MemoryStorage):
    def after_commit(self, action):
        if self._transactions.current is None:
            action()
        else:
            super().after_commit(action)


@storage(
    "what_an_action_sees_is_committed",
)
class ActsInsideTheTransaction(MemoryStorage):
    @contextmanager
    def transaction(self):
        is_outermost = self._transactions.current is None
        with super().transaction() as open_:
            yield open_
            if is_outermost:
                actions, open_.actions = list(open_.actions), []
                for action in actions:
                    call_after_commit(action)


@storage(
    "an_action_may_open_a_transaction_of_its_own",
)
class ForbidsTransactionsAfterTheCommit(MemoryStorage):
    is_acting = False

    def after_commit(self, action):
        def act():
            self.is_acting = True
            try:
                action()
            finally:
                self.is_acting = False

        super().after_commit(act)

    def transaction(self):
        if self.is_acting and not beside():
            raise RuntimeError("a transaction is being closed")
        return super().transaction()
