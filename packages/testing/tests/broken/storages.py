"""Storages in memory that are each broken in one way."""

from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta, timezone
from threading import Barrier, current_thread, main_thread
from typing import Any

from automation.testing.contracts import StorageContract
from automation.workflows.engine.memory.mailbox import MemoryMailbox
from automation.workflows.engine.memory.plans import MemoryPlans
from automation.workflows.engine.memory.transactions import call_after_commit
from automation.workflows.errors import StaleRun
from automation.workflows.memory import MemoryStorage
from automation.workflows.runs.values import Run, WorkflowStatus
from tests.broken.telling import Broken, breaks

__all__ = ["BROKEN", "Intact"]

BROKEN: Broken = {}


class Intact(StorageContract):
    """MemoryStorage as it is; what is broken says in `storage_class` or in a hook how."""

    storage_class: Callable[[], MemoryStorage] = MemoryStorage

    def make_storage(self):
        return type(self).storage_class()

    def attempts_of(self, storage, run_id):
        return storage.attempts(run_id)


def storage(*claims: str):
    """Note a storage that fails these claims."""

    def note(broken):
        breaks(BROKEN, *claims)(type(broken.__name__, (Intact,), {"storage_class": broken}))
        return broken

    return note


def mailbox(*claims: str):
    """Note a mailbox that fails these claims, in a storage that is intact."""

    def note(broken):
        def make():
            made = MemoryStorage()
            made._mailbox = broken(made._join, lambda: made._transactions.current)
            return made

        breaks(BROKEN, *claims)(type(broken.__name__, (Intact,), {"storage_class": staticmethod(make)}))
        return broken

    return note


def plans(*claims: str):
    """Note plans that fail these claims, in a storage that is intact."""

    def note(broken):
        def make():
            made = MemoryStorage()
            made._plans = broken(made._join, made.insert)
            return made

        breaks(BROKEN, *claims)(type(broken.__name__, (Intact,), {"storage_class": staticmethod(make)}))
        return broken

    return note


def beside() -> bool:
    """Return whether this is one of the threads of a test."""
    return current_thread() is not main_thread()


def _met(barrier: Barrier) -> None:
    with suppress(Exception):
        barrier.wait(5)


# What is stored


class Reading(MemoryStorage):
    """Gives runs as `read` makes them; what is stored is right."""

    def read(self, run: Run) -> Run:
        return run

    def load(self, run_id):
        run = super().load(run_id)
        return None if run is None else self.read(run)


class Writing(MemoryStorage):
    """Stores what `written` makes of the run after a move."""

    def written(self, before: Run, after: Run) -> Run:
        return after

    def apply(self, transitions):
        super().apply([replace(move, after=self.written(move.before, move.after)) for move in transitions])


@storage(
    "a_move_stores_the_run_after",
    "a_run_comes_back_equal_in_every_field",
)
class ForgetsWhoIsMissing(Reading):
    def read(self, run):
        return replace(run, missing_since=None)


@storage(
    "a_run_with_nothing_but_the_necessary_comes_back_equal",
)
class BeginsWhatHasNot(Reading):
    def read(self, run):
        return replace(run, data={}) if run.data is None and run.occurrence is None else run


@storage(
    "times_come_back_aware_and_in_utc",
)
class LocalTimes(Reading):
    def read(self, run):
        elsewhere = timezone(timedelta(hours=2))
        return replace(run, wake_at=run.wake_at and run.wake_at.astimezone(elsewhere))


@storage(
    "json_comes_back_equal_and_of_the_same_type",
)
class SortedJson(Reading):
    def read(self, run):
        return replace(run, data=_sorted(run.data))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value


@storage(
    "any_text_comes_back_equal",
)
class CutTexts(MemoryStorage):
    def insert(self, runs):
        return super().insert([replace(run, why=run.why.split("\x00")[0]) for run in runs])


@storage(
    "a_move_stores_any_text_equal",
)
class CutTextsOfMoves(Writing):
    def written(self, before, after):
        return replace(after, error=after.error.split("\x00")[0])


@storage(
    "an_inner_transaction_goes_with_the_outer_one",
    "an_interrupt_undoes_the_transaction_like_any_error",
    "load_of_an_unknown_id_is_none",
)
class RaisesForTheUnknown(MemoryStorage):
    def load(self, run_id):
        found = super().load(run_id)
        if found is None and not self._tables.runs and self._transactions.current is None:
            raise KeyError(run_id)
        return found


@storage(
    "insert_gives_the_runs_in_the_order_given",
)
class GivesInsertedOfOtherOrder(MemoryStorage):
    def insert(self, runs):
        given = super().insert(runs)
        return given if len(given) != 5 or not given[1].run_key else given[::-1]


@storage(
    "insert_of_nothing_is_nothing",
)
class CannotInsertNothing(MemoryStorage):
    def insert(self, runs):
        return [super().insert(runs)[0], *super().insert(runs)[1:]]


@storage(
    "a_thousand_runs_are_inserted_at_once",
)
class TakesFewAtOnce(MemoryStorage):
    def insert(self, runs):
        assert len(runs) < 1_000 or not runs[0].run_key
        return super().insert(runs)


# Uniqueness


@storage(
    "a_key_is_taken_whatever_the_version",
    "a_key_met_twice_in_one_insert_is_stored_once",
    "a_taken_key_gives_the_run_as_it_is_now",
    "a_taken_key_gives_the_run_that_has_it",
)
class WithoutKeys(MemoryStorage):
    def _stored(self, open_, run):
        return None if run.run_key is not None else super()._stored(open_, run)


@storage(
    "a_start_is_reserved_once_for_its_occurrence",
    "a_taken_key_gives_the_run_as_it_is_now",
    "an_occurrence_starts_a_workflow_once",
)
class GivesTheKeysFirstState(MemoryStorage):
    def _stored(self, open_, run):
        found = super()._stored(open_, run)
        return found and run.run_key and replace(found, status=WorkflowStatus.READY, next_at=found.created_at)


_FEW = 20
"""Runs that are compared one by one."""


class Keyed(MemoryStorage):
    """Compares runs, as long as they are few, by what `as_compared` makes of them."""

    def as_compared(self, run: Run) -> Run:
        return run

    def _stored(self, open_, run):
        if len(self._tables.runs) + len(open_.changes.runs) > _FEW:
            return super()._stored(open_, run)
        for other in [*self._tables.runs.values(), *open_.changes.runs.values()]:
            one, another = self.as_compared(run), self.as_compared(open_.run(other.id))
            if _key(one) and _key(one) == _key(another):
                return open_.run(other.id)
            if one.occurrence and _occurrence(one) == _occurrence(another):
                return open_.run(other.id)
        return None


def _key(run: Run) -> object:
    return None if run.run_key is None else (run.name, run.run_key)


def _occurrence(run: Run) -> object:
    return run.occurrence and (run.occurrence.id, run.occurrence.generation, run.name)


@storage(
    "a_key_is_taken_whatever_the_version",
)
class KeepsKeysOfVersionsApart(Keyed):
    def as_compared(self, run):
        return replace(run, run_key=run.run_key and f"{run.version}:{run.run_key}")


@storage(
    "names_compare_bytewise",
    "the_same_key_of_another_workflow_is_another_key",
)
class SharesKeysBetweenWorkflows(Keyed):
    def as_compared(self, run):
        return run if run.occurrence else replace(run, name="any")


@storage(
    "one_stale_move_undoes_the_whole_call",
    "runs_without_a_key_are_many",
)
class TakesNoKeyForOne(MemoryStorage):
    def insert(self, runs):
        given = super().insert(runs)
        are_bare = not any(run.run_key or run.occurrence or run.wait for run in runs)
        return [given[0]] * 3 if are_bare and len(given) == 3 else given


@storage(
    "keys_compare_bytewise",
)
class FoldsKeys(Keyed):
    def as_compared(self, run):
        return replace(run, run_key=run.run_key and run.run_key.strip().lower())


@storage(
    "names_compare_bytewise",
)
class FoldsNames(Keyed):
    def as_compared(self, run):
        return replace(run, name=run.name.strip().lower())


@storage(
    "a_key_met_twice_in_one_insert_is_stored_once",
)
class LooksAtWhatWasThereBefore(MemoryStorage):
    def insert(self, runs):
        return [super(LooksAtWhatWasThereBefore, self).insert([run])[0] for run in runs[:1]] + [
            self._unlooked(run) if run.run_key == runs[0].run_key else super(type(self), self).insert([run])[0]
            for run in runs[1:]
        ]

    def _unlooked(self, run):
        if run.run_key is None:
            return super().insert([run])[0]
        with self._join() as open_:
            open_.changes.runs[run.id] = run
        return run


@storage(
    "a_start_is_reserved_once_for_its_occurrence",
    "an_occurrence_starts_a_workflow_once",
)
class StartsAgainForAnOccurrence(Keyed):
    def as_compared(self, run):
        return replace(run, occurrence=None)


@storage(
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
    "an_occurrence_starts_several_workflows",
)
class StartsOneWorkflowForAnOccurrence(Keyed):
    def as_compared(self, run):
        return replace(run, name="any", run_key=None) if run.occurrence else run


@storage(
    "another_occurrence_starts_the_workflow_again",
)
class FoldsOccurrences(Keyed):
    def as_compared(self, run):
        return replace(run, occurrence=run.occurrence and replace(run.occurrence, id=run.occurrence.id.lower()))


@storage(
    "another_generation_of_an_occurrence_starts_the_workflow_again",
)
class WithoutGenerations(Keyed):
    def as_compared(self, run):
        return replace(run, occurrence=run.occurrence and replace(run.occurrence, generation=1))


@storage(
    "two_who_insert_the_same_key_side_by_side_get_one_run",
)
class LooksAndThenInserts(MemoryStorage):
    def __init__(self):
        super().__init__()
        self._all_have_looked = Barrier(4)

    def _stored(self, open_, run):
        if not (beside() and run.run_key):
            return super()._stored(open_, run)
        _met(self._all_have_looked)
        return None


# Moves


@storage(
    "a_move_can_empty_every_field_again",
    "a_move_stores_the_run_after",
)
class ForgetsTheDeadlineOfMoves(Writing):
    def written(self, before, after):
        return replace(after, deadline_at=before.deadline_at)


@storage(
    "a_move_can_empty_every_field_again",
)
class NeverEmpties(Writing):
    def written(self, before, after):
        return replace(after, entity=after.entity or before.entity)


@storage(
    "a_move_stores_a_change_of_type_alone",
)
class ComparesByEquality(Writing):
    def written(self, before, after):
        return replace(after, data=before.data if before.data == after.data else after.data)


@storage(
    "a_stale_move_changes_nothing",
    "a_stale_move_leaves_no_attempt",
    "one_stale_move_undoes_the_whole_call",
    "who_catches_a_stale_move_can_go_on_in_the_transaction",
    "who_read_a_start_before_it_was_moved_or_withdrawn_is_stale",
)
class LastWriteWins(MemoryStorage):
    def _check(self, open_, transition):
        if open_.run(transition.before.id) is None or transition.consumed is not None:
            super()._check(open_, transition)


@storage(
    "a_stale_move_leaves_no_attempt",
)
class KeepsAttemptsOfStaleMoves(MemoryStorage):
    def apply(self, transitions):
        try:
            super().apply(transitions)
        except StaleRun:
            self._tables.attempts.update(
                {move.before.id: [move.attempt] for move in transitions if move.attempt and not move.consumed}
            )
            raise


@storage(
    "what_a_run_consumes_again_leaves_no_attempt",
)
class KeepsAttemptsOfWhatWasConsumed(MemoryStorage):
    def apply(self, transitions):
        for move in transitions:
            if move.attempt is not None and move.consumed is not None:
                self._tables.attempts.setdefault(move.before.id, []).append(move.attempt)
        super().apply(transitions)


@storage(
    "a_move_of_a_run_that_is_not_there_is_stale",
)
class MovesWhatIsNotThere(MemoryStorage):
    def apply(self, transitions):
        with self._join() as open_:
            super().apply([move for move in transitions if open_.run(move.before.id) is not None])


@storage(
    "one_stale_move_undoes_the_whole_call",
    "who_catches_a_stale_move_can_go_on_in_the_transaction",
)
class AppliesOneByOne(MemoryStorage):
    def apply(self, transitions):
        with self._join() as open_:
            for move in transitions:
                try:
                    self._check(open_, move)
                except StaleRun:
                    if self._transactions.current is open_ and beside():
                        raise
                    self._tables.commit(open_.changes)
                    raise
                open_.changes.add(move)


@storage(
    "who_catches_a_stale_move_can_go_on_in_the_transaction",
)
class SpoilsTheTransactionOfAStaleMove(MemoryStorage):
    def apply(self, transitions):
        with self._join() as open_:
            assert getattr(self, "_spoilt", None) is not open_, "spoilt"
            try:
                super().apply(transitions)
            except StaleRun:
                self._spoilt = open_
                raise


@storage(
    "a_run_moves_again_and_again_in_one_transaction",
)
class MovesOnceInATransaction(MemoryStorage):
    def _check(self, open_, transition):
        if transition.before.id in open_.changes.runs and transition.before.id in self._tables.runs:
            raise StaleRun(transition.before.id, transition.before.revision)
        super()._check(open_, transition)


@storage(
    "apply_of_nothing_is_nothing",
)
class CannotApplyNothing(MemoryStorage):
    def apply(self, transitions):
        assert transitions[0]
        super().apply(transitions)


@storage(
    "many_moves_are_stored_at_once_each_as_it_says",
)
class WritesTheFirstReasonForAll(MemoryStorage):
    def apply(self, transitions):
        super().apply([replace(move, after=replace(move.after, why=transitions[0].after.why)) for move in transitions])


@breaks(
    BROKEN,
    "attempts_are_history",
)
class WithoutHistory(Intact):
    def attempts_of(self, storage, run_id):
        return []


@storage(
    "of_two_who_move_a_run_side_by_side_one_wins",
)
class ComparesAndThenSets(MemoryStorage):
    def __init__(self):
        super().__init__()
        self._all_have_looked = Barrier(4)

    def _check(self, open_, transition):
        if not beside():
            super()._check(open_, transition)
        else:
            _met(self._all_have_looked)


@storage(
    "a_run_consumes_a_signal_once",
    "what_a_run_consumes_again_leaves_no_attempt",
)
class ConsumesAgain(MemoryStorage):
    def _check(self, open_, transition):
        super()._check(open_, replace(transition, consumed=None))


@storage(
    "a_signal_is_consumed_by_many_runs",
    "waiters_are_given_in_batches_until_none_is_left",
)
class ConsumesForOneRunOnly(MemoryStorage):
    def apply(self, transitions):
        consumed = [move.consumed for move in transitions if move.consumed is not None]
        if len(set(consumed)) < len(consumed):
            raise StaleRun(transitions[0].before.id, transitions[0].before.revision)
        super().apply(transitions)


# What is due


@storage(
    "due_gives_no_more_than_the_limit_and_the_oldest_of_them",
    "due_gives_what_is_due_oldest_first",
)
class NewestFirst(MemoryStorage):
    def due(self, now, limit):
        return super().due(now, limit)[::-1]


@storage(
    "what_is_due_this_very_microsecond_is_due",
)
class AMicrosecondLate(MemoryStorage):
    def due(self, now, limit):
        found = super().due(now, limit)
        return [run for run in found if run.next_at < now] if len(self._tables.runs) == 2 else found


@storage(
    "due_gives_no_more_than_the_limit_and_the_oldest_of_them",
)
class WithoutALimit(MemoryStorage):
    def due(self, now, limit):
        return super().due(now, 1_000_000)


@storage(
    "due_gives_whole_runs",
)
class GivesRunsInPart(MemoryStorage):
    def due(self, now, limit):
        return [replace(run, wake=None) for run in super().due(now, limit)]


@storage(
    "a_live_run_is_due_by_its_time_alone",
)
class KnowsNoLostWorkers(MemoryStorage):
    def due(self, now, limit):
        return [run for run in super().due(now, limit) if run.status is not WorkflowStatus.RUNNING]


@storage(
    "a_run_that_has_ended_is_never_due",
)
class KeepsTheTimesOfWhatHasEnded(MemoryStorage):
    def due(self, now, limit):
        ended = [run for run in self._tables.runs.values() if run.status.is_terminal]
        return [*super().due(now, limit), *ended][:limit]


@storage(
    "upcoming_gives_what_waits_for_a_near_time",
)
class WakesWorkersEarly(MemoryStorage):
    def upcoming(self, after, until, limit):
        runs = [run for run in self._tables.runs.values() if run.next_at and after < run.next_at <= until]
        return [(run.id, run.next_at) for run in sorted(runs, key=lambda run: run.next_at)][:limit]


# Transactions


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
class WithoutRollback(MemoryStorage):
    @contextmanager
    def transaction(self):
        raised = None
        with super().transaction() as open_:
            try:
                yield open_
            except Exception as error:
                raised = error
        if raised is not None:
            raise raised


@storage(
    "an_interrupt_undoes_the_transaction_like_any_error",
)
class CommitsWhatIsInterrupted(MemoryStorage):
    @contextmanager
    def transaction(self):
        raised = None
        with super().transaction() as open_:
            try:
                yield open_
            except KeyboardInterrupt as interrupt:
                raised = interrupt
        if raised is not None:
            raise raised


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


# Signals


class Kept(MemoryMailbox):
    """Stores what `kept` makes of a signal."""

    def kept(self, signal):
        return signal

    def post(self, signals):
        super().post([self.kept(signal) for signal in signals])


@mailbox(
    "a_signal_comes_back_equal",
)
class ForgetsWhatSignalsAreAbout(Kept):
    def kept(self, signal):
        return replace(signal, subjects=signal.subjects[:1])


@mailbox(
    "a_bare_signal_comes_back_equal",
    "a_position_goes_with_the_transaction_that_allotted_it",
    "undelivered_signals_come_in_the_order_of_sending",
    "what_a_transaction_wrote_is_there_afterwards",
)
class GivesBareSignalsAPayload(MemoryMailbox):
    def post(self, signals):
        is_bare = len(signals) == 1 and signals[0].key is None and signals[0].payload is None
        super().post([replace(signals[0], payload={})] if is_bare else signals)


@mailbox(
    "a_payload_comes_back_equal_and_of_the_same_type",
)
class SortsPayloads(Kept):
    def kept(self, signal):
        return replace(signal, payload=_sorted(signal.payload))


@mailbox(
    "a_payload_comes_back_equal_and_of_the_same_type",
)
class SortsPayloadsInside(Kept):
    def kept(self, signal):
        value = (signal.payload or {}).get("value")
        return signal if value is None else replace(signal, payload={"value": _sorted(value)})


@mailbox(
    "a_key_comes_back_equal",
)
class CutsKeys(Kept):
    def kept(self, signal):
        return replace(signal, key=signal.key and signal.key.split("\x00")[0])


@mailbox(
    "an_empty_payload_is_not_the_same_as_none",
)
class TakesAnEmptyPayloadForNone(Kept):
    def kept(self, signal):
        return replace(signal, payload=signal.payload or None)


@mailbox(
    "a_signal_posted_twice_is_stored_once",
    "a_thousand_signals_are_posted_at_once_in_order",
    "an_empty_payload_is_not_the_same_as_none",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
    "undelivered_gives_no_more_than_the_limit_and_the_first_of_them",
    "undelivered_signals_come_in_the_order_of_sending",
    "undelivered_signals_of_one_name_come_in_the_order_of_sending",
)
class LastInFirstOut(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        return super().undelivered(1_000_000, name=name)[::-1][:limit]


@mailbox(
    "undelivered_signals_come_in_the_order_of_sending",
)
class OrdersByName(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        return sorted(super().undelivered(1_000_000, name=name), key=lambda signal: signal.name)[:limit]


@mailbox(
    "undelivered_signals_of_one_name_come_in_the_order_of_sending",
)
class FoldsSignalNames(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        found = super().undelivered(1_000_000)
        return [signal for signal in found if name is None or signal.name.strip().lower() == name][:limit]


@mailbox(
    "undelivered_gives_no_more_than_the_limit_and_the_first_of_them",
)
class GivesAllSignals(MemoryMailbox):
    def undelivered(self, limit, *, name=None):
        return super().undelivered(1_000_000, name=name)


@mailbox(
    "a_thousand_signals_are_posted_at_once_in_order",
)
class PostsFewAtOnce(MemoryMailbox):
    def post(self, signals):
        super().post(signals[:500])


@mailbox(
    "post_of_nothing_is_nothing",
)
class CannotPostNothing(MemoryMailbox):
    def post(self, signals):
        assert signals[0]
        super().post(signals)


@mailbox(
    "a_signal_posted_twice_is_stored_once",
)
class PostsAgainAfterTheDelivery(MemoryMailbox):
    def post(self, signals):
        super().post(signals)
        with self._transaction() as open_:
            for signal in signals:
                if signal.id in open_.tables.signals:
                    open_.tables.undelivered.setdefault(signal.id)


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
)
class LocksWhatWasLockedBefore(MemoryMailbox):
    def lock(self, name):
        if name != "never seen":
            super().lock(name)


@mailbox(
    "a_position_goes_with_the_transaction_that_allotted_it",
    "the_position_is_nought_before_any_delivery",
)
class CountsFromOne(MemoryMailbox):
    def position(self):
        return super().position() or 1


@mailbox(
    "a_finished_delivery_is_not_reopened_by_who_read_the_signal_before",
    "a_signal_posted_twice_is_stored_once",
    "settling_allots_a_position_and_ends_the_delivery",
)
class NeverEndsADelivery(MemoryMailbox):
    def settle(self, signal, *, finished):
        return super().settle(signal, finished=(finished and signal.name != "paid") or signal.position is not None)


@mailbox(
    "positions_grow_over_all_names",
)
class CountsEachNameAlone(MemoryMailbox):
    def settle(self, signal, *, finished):
        settled = super().settle(signal, finished=finished)
        if signal.name in {"paid", "sent"}:
            return settled
        with self._transaction() as open_:
            own = [each for each in open_.tables.signals.values() if each.name == signal.name and each.position]
            counted = replace(settled, position=len(own) + 1)
            open_.changes.signals[signal.id] = counted
            return counted


@mailbox(
    "a_wait_sees_a_signal_whose_delivery_has_begun",
    "an_unfinished_delivery_keeps_its_position_and_its_place",
)
class AllotsThePositionAtTheEnd(MemoryMailbox):
    def settle(self, signal, *, finished):
        return super().settle(signal, finished=finished) if finished else signal


@mailbox(
    "a_position_is_not_allotted_again_to_who_read_the_signal_before",
)
class AllotsThePositionAgain(MemoryMailbox):
    def settle(self, signal, *, finished):
        with self._transaction() as open_:
            stored = open_.signal(signal.id)
            if stored is not None and stored.position is not None and signal.position is None:
                open_.changes.signals[signal.id] = signal
        return super().settle(signal, finished=finished)


@mailbox(
    "a_finished_delivery_is_not_reopened_by_who_read_the_signal_before",
)
class ReopensADelivery(MemoryMailbox):
    def settle(self, signal, *, finished):
        with self._transaction() as open_:
            if not finished:
                open_.tables.undelivered.setdefault(signal.id)
        return super().settle(signal, finished=finished)


@mailbox(
    "a_position_goes_with_the_transaction_that_allotted_it",
)
class KeepsPositionsOfWhatWasUndone(MemoryMailbox):
    def settle(self, signal, *, finished):
        settled = super().settle(signal, finished=finished)
        with self._transaction() as open_:
            open_.tables.position = open_.changes.position or open_.tables.position
        return settled


@mailbox(
    "positions_are_in_the_order_of_commits",
)
class AllotsPositionsBeforeOthersCommit(MemoryMailbox):
    allotted = 0

    def settle(self, signal, *, finished):
        if signal.name not in {"one", "two"}:
            return super().settle(signal, finished=finished)
        with self._transaction() as open_:
            self.allotted += 1
            settled = replace(signal, position=self.allotted)
            open_.changes.signals[signal.id] = settled
            open_.changes.finished.add(signal.id)
            return settled


class Tidying(Intact):
    """Deletes signals that were delivered, and what `goes_too` says."""

    def goes_too(self, storage, signal):
        return False

    def clean_up(self, storage, now):
        tables = storage._tables
        for signal in list(tables.signals.values()):
            is_over = signal.id not in tables.undelivered
            run = tables.runs.get(signal.run_id)
            is_needed = run is not None and not run.status.is_terminal
            if (is_over and not is_needed) or self.goes_too(storage, signal):
                tables.signals.pop(signal.id)
                tables.undelivered.pop(signal.id, None)
                tables._placed[signal.name] = [
                    each for each in tables._placed.get(signal.name, []) if each[1] != signal.id
                ]
        return True


@breaks(
    BROKEN,
    "what_is_undelivered_is_kept",
)
class CleansUpWhatIsUndelivered(Tidying):
    def goes_too(self, storage, signal):
        return signal.id in storage._tables.undelivered


@breaks(
    BROKEN,
    "what_is_addressed_to_a_run_that_lives_is_kept",
)
class CleansUpWhatARunMayStillNeed(Tidying):
    def goes_too(self, storage, signal):
        return signal.run_id is not None


@breaks(
    BROKEN,
    "what_is_addressed_to_a_run_that_lives_is_kept",
    "what_is_undelivered_is_kept",
)
class CleansUpNothing(Intact):
    def clean_up(self, storage, now):
        return True


# Waits


@mailbox(
    "a_signal_for_one_run_ends_no_wait_of_another",
    "both_sides_agree_with_the_rule_for_waits",
)
class AcceptsNothing(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        return None if wait.accept is not None else found


@mailbox(
    "a_signal_for_one_run_ends_no_wait_of_another",
)
class ListensToSignalsForOthers(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        if found is None and wait.signal == "paid":
            with self._transaction() as open_:
                others = [each for each in open_.tables.placed("paid", 0) if each.run_id not in {None, run_id}]
                return next((each for each in others if not wait.key), None) if len(open_.tables.signals) == 2 else None
        return found


@mailbox(
    "both_sides_agree_with_the_guards_of_a_wait",
)
class IgnoresWhatARunHasTold(MemoryMailbox):
    def matching(self, run_id, wait):
        return super().matching(run_id, replace(wait, run_after=0))


@mailbox(
    "both_sides_agree_with_the_guards_of_a_wait",
)
class IgnoresTheBoundOfSending(MemoryMailbox):
    def waiters(self, signal, limit):
        return super().waiters(signal, limit) or [
            each
            for each in self._waiting(signal)
            if each.wait.sent_after is not None and each.wait.sent_after > signal.sent_at
        ]

    def _waiting(self, signal):
        with self._transaction() as open_:
            return [run for run in open_.live() if run.wait is not None and run.wait.signal == signal.name]


@mailbox(
    "a_wait_sees_no_signal_that_is_not_delivered",
)
class SeesWhatIsNotDelivered(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        if found is None and wait.signal == "paid" and not wait.key and not wait.broadcasts_after:
            with self._transaction() as open_:
                if not open_.tables.receipts and not open_.position():
                    return next(iter(self.undelivered(1, name=wait.signal)), None)
        return found


@mailbox(
    "a_wait_sees_a_signal_whose_delivery_has_begun",
)
class SeesOnlyWhatIsDeliveredToAll(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        return None if found is not None and found.id in {each.id for each in self.undelivered(10)} else found


@mailbox(
    "a_wait_gets_the_first_by_position_not_by_sending",
    "both_sides_agree_with_the_guards_of_a_wait",
    "both_sides_agree_with_the_rule_for_waits",
)
class WakesBySending(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        with self._transaction() as open_:
            placed = [each for each in open_.tables.signals.values() if each.position and each.run_id is None]
            return placed[0] if found and placed and len(open_.tables.signals) == 2 and not wait.key else found


@mailbox(
    "a_wait_gets_addressed_signals_and_broadcasts_in_one_order",
)
class PrefersWhatIsAddressed(MemoryMailbox):
    def matching(self, run_id, wait):
        with self._transaction() as open_:
            mine = [each for each in open_.tables.placed(wait.signal, wait.run_after) if each.run_id == run_id]
            left = [each for each in mine if not open_.has_consumed(run_id, each.id)]
        return left[0] if left and len(open_.tables.signals) == 5 else super().matching(run_id, wait)


@mailbox(
    "a_wait_finds_its_signal_behind_many_that_are_not_for_it",
)
class LooksAtAHundredSignals(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        return found if found is None or found.position <= 100 else None


@mailbox(
    "a_wait_does_not_get_a_signal_that_the_run_has_consumed",
)
class ForgetsWhatWasConsumed(MemoryMailbox):
    def matching(self, run_id, wait):
        found = super().matching(run_id, wait)
        with self._transaction() as open_:
            placed = list(open_.tables.placed(wait.signal, 0))
            return placed[0] if found is None and len(placed) == 1 and open_.tables.receipts and not wait.key else found


@mailbox(
    "only_waiting_runs_are_waiters",
)
class WakesWhoIsPaused(MemoryMailbox):
    def waiters(self, signal, limit):
        found = list(super().waiters(signal, limit))
        with self._transaction() as open_:
            return found + [
                run
                for run in open_.live()
                if run.status is WorkflowStatus.PAUSED and run.wait and run.wait.signal == signal.name
            ]


@mailbox(
    "waiters_are_given_in_batches_until_none_is_left",
)
class WakesMoreThanAsked(MemoryMailbox):
    def waiters(self, signal, limit):
        return super().waiters(signal, 25 if limit == 10 else limit)


@mailbox(
    "fewer_waiters_than_the_limit_means_that_there_are_no_more",
    "waiters_are_given_in_batches_until_none_is_left",
)
class CutsCandidatesAtTheLimit(MemoryMailbox):
    def waiters(self, signal, limit):
        with self._transaction() as open_:
            waiting = [run for run in open_.live() if run.wait is not None and run.wait.signal == signal.name]
            first = {run.id for run in waiting[:limit]}
        return [run for run in super().waiters(signal, limit) if run.id in first]


@mailbox(
    "waiters_are_given_whole",
)
class GivesWaitersInPart(MemoryMailbox):
    def waiters(self, signal, limit):
        return [replace(run, entity=None) for run in super().waiters(signal, limit)]


@mailbox(
    "a_run_that_moves_on_is_no_longer_found_by_its_old_wait",
    "both_sides_agree_with_the_rule_for_waits",
)
class RemembersTheFirstWait(MemoryMailbox):
    def waiters(self, signal, limit):
        return [run for run in super().waiters(signal, limit) if run.wait.signal != "sent" or run.revision == 0]


@mailbox(
    "two_who_wake_side_by_side_wake_each_run_once",
)
class WakesWithoutALock(MemoryMailbox):
    def __init__(self, *given):
        super().__init__(*given)
        self._both_have_looked = Barrier(2)

    def lock(self, name):
        if not beside() or self._current() is None or name != "paid":
            super().lock(name)

    def waiters(self, signal, limit):
        if not beside():
            return super().waiters(signal, limit)
        with self._transaction() as open_:
            found = [run for run in open_.live() if run.wait is not None][:limit]
        _met(self._both_have_looked)
        return found


# Reserved starts


class OwnMove(MemoryPlans):
    """Moves, and then writes what `after` makes of each run that was moved."""

    def after(self, before, run):
        return run

    def move(self, occurrences, now):
        with self._transaction() as open_:
            before = {run.id: run for run in open_.live()}
            super().move(occurrences, now)
            for run in list(open_.changes.runs.values()):
                if run.id in before and before[run.id] != run:
                    open_.changes.runs[run.id] = self.after(before[run.id], run)


@plans(
    "a_start_is_reserved_once_for_its_occurrence",
)
class ReservesAgain(MemoryPlans):
    def reserve(self, runs):
        with self._transaction() as open_:
            open_.changes.runs |= {run.id: run for run in runs}


@plans(
    "a_start_is_reserved_once_for_its_occurrence",
)
class ReservesTheFirst(MemoryPlans):
    def reserve(self, runs):
        super().reserve(runs[:1])


@plans(
    "a_reserved_start_follows_its_occurrence",
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
    "many_occurrences_move_at_once_each_to_its_own_date",
)
class MovesWithoutTheOffset(OwnMove):
    def after(self, before, run):
        if run.wake_at == before.wake_at:
            return run
        wake_at = run.occurrence.at
        return replace(run, wake_at=wake_at, next_at=run.next_at and wake_at)


@plans(
    "a_reserved_start_follows_its_occurrence",
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
)
class MovesBySeconds(OwnMove):
    def after(self, before, run):
        if run.wake_at is None or run.wake_at == before.wake_at:
            return run
        wake_at = run.wake_at - timedelta(microseconds=run.offset.microseconds)
        return replace(run, wake_at=wake_at, next_at=run.next_at and wake_at)


@plans(
    "a_move_changes_nothing_else_but_the_words_for_people",
)
class MovesTheAttemptAlong(OwnMove):
    def after(self, before, run):
        return replace(run, attempt=run.attempt + 1) if run.wake_at != before.wake_at else run


@plans(
    "all_workflows_of_an_occurrence_move_each_by_its_own_offset",
)
class MovesOneWorkflow(MemoryPlans):
    def move(self, occurrences, now):
        with self._transaction() as open_:
            before = {run.id: run for run in open_.live()}
            super().move(occurrences, now)
            moved = [run for run in before.values() if open_.changes.runs.get(run.id, run) != run]
            for run in moved[1:] if len(occurrences) == 1 else []:
                del open_.changes.runs[run.id]


@plans(
    "many_occurrences_move_at_once_each_to_its_own_date",
)
class MovesAHundred(MemoryPlans):
    def move(self, occurrences, now):
        super().move(list(occurrences)[:100], now)


@plans(
    "a_reserved_start_follows_its_occurrence",
    "a_start_moved_into_the_past_is_due",
)
class LeavesThePastAlone(OwnMove):
    def after(self, before, run):
        is_past = run.next_at is not None and run.next_at < run.created_at
        return replace(run, next_at=before.next_at) if is_past else run


@plans(
    "a_start_that_waits_for_its_condition_alone_is_looked_at_on_the_new_date",
)
class MovesOnlyWhatHasATime(OwnMove):
    def after(self, before, run):
        return replace(run, next_at=None) if before.next_at is None else run


@plans(
    "a_paused_start_moves_and_stays_paused",
)
class ResumesWhatItMoves(OwnMove):
    def after(self, before, run):
        return replace(run, next_at=run.wake_at) if run.status is WorkflowStatus.PAUSED else run


@plans(
    "what_has_begun_neither_moves_nor_is_withdrawn",
)
class MovesWhatHasBegun(MemoryPlans):
    def move(self, occurrences, now):
        super().move(occurrences, now)
        with self._transaction() as open_:
            for run in [run for run in open_.live() if run.has_begun and run.occurrence]:
                open_.changes.runs[run.id] = replace(run, revision=run.revision + 1)


@plans(
    "what_has_ended_neither_moves_nor_is_withdrawn",
)
class WithdrawsWhatHasEnded(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(occurrence_ids, reason, now)
        with self._transaction() as open_:
            for run in [run for run in open_.tables.runs.values() if run.status.is_terminal]:
                open_.changes.runs[run.id] = replace(run, why=reason)


@plans(
    "what_a_worker_is_about_to_begin_is_only_counted_up",
)
class LeavesWorkersUnaware(OwnMove):
    def after(self, before, run):
        return before if run.status in {WorkflowStatus.READY, WorkflowStatus.RUNNING} else run


@plans(
    "what_a_worker_is_about_to_begin_is_only_counted_up",
)
class WithdrawsUnderAWorker(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(occurrence_ids, reason, now)
        with self._transaction() as open_:
            for run in list(open_.changes.runs.values()):
                if run.status is WorkflowStatus.RUNNING:
                    open_.changes.runs[run.id] = replace(run, status=WorkflowStatus.CANCELLED, next_at=None)


@plans(
    "other_occurrences_are_left_alone",
)
class FoldsWhatItWithdraws(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        with self._transaction() as open_:
            folded = {each.lower() for each in occurrence_ids}
            known = [run.occurrence.id for run in open_.live() if run.occurrence]
        super().withdraw([*occurrence_ids, *(each for each in known if each.lower() in folded)], reason, now)


@plans(
    "withdrawing_cancels_and_says_why",
)
class WithdrawsWithoutAReason(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(occurrence_ids, "", now)


@plans(
    "a_paused_start_is_withdrawn",
)
class LeavesWhatIsPaused(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        with self._transaction() as open_:
            super().withdraw(occurrence_ids, reason, now)
            for run in list(open_.changes.runs.values()):
                if (before := open_.tables.runs[run.id]).status is WorkflowStatus.PAUSED:
                    open_.changes.runs[run.id] = before


@plans(
    "many_occurrences_are_withdrawn_at_once",
)
class WithdrawsAHundred(MemoryPlans):
    def withdraw(self, occurrence_ids, reason, now):
        super().withdraw(list(occurrence_ids)[:100], reason, now)


@plans(
    "a_move_changes_nothing_else_but_the_words_for_people",
    "a_reserved_start_follows_its_occurrence",
    "who_read_a_start_before_it_was_moved_or_withdrawn_is_stale",
)
class MovesWithoutCounting(OwnMove):
    def after(self, before, run):
        is_held = run.status is WorkflowStatus.WAITING
        return replace(run, revision=before.revision) if is_held else run


@plans(
    "a_move_goes_with_the_transaction_that_made_it",
)
class MovesAtOnce(MemoryPlans):
    def move(self, occurrences, now):
        with self._transaction() as open_:
            super().move(occurrences, now)
            open_.tables.commit(open_.changes)


@plans(
    "reserved_gives_what_has_not_begun_and_not_ended",
)
class GivesWhatHasBegunAsReserved(MemoryPlans):
    def reserved(self, occurrence_ids):
        with self._transaction() as open_:
            return [run for run in open_.live() if run.occurrence and run.occurrence.id in occurrence_ids]


@plans(
    "nothing_is_asked_of_no_occurrences",
)
class TakesNothingForAll(MemoryPlans):
    def reserved(self, occurrence_ids):
        with self._transaction() as open_:
            return super().reserved(occurrence_ids or [run.occurrence.id for run in open_.live() if run.occurrence])


class Counting(Intact):
    """Says that each call of its plans is a statement."""

    def make_storage(self):
        made = MemoryStorage()
        self.sent = []
        made._plans = self.make_plans(made)
        return made

    def make_plans(self, made):
        return Counted(made, self.sent, together=True)

    @contextmanager
    def statements(self, storage):
        self.sent.clear()
        yield self.sent


class Counted(MemoryPlans):
    """Notes what it sends: all at once, or one by one."""

    def __init__(self, made, sent, *, together):
        super().__init__(made._join, made.insert)
        self._sent = sent
        self._together = together

    def _send(self, things):
        self._sent.extend(things[:1] if self._together else things)

    def reserve(self, runs):
        self._send(runs)
        super().reserve(runs)

    def move(self, occurrences, now):
        self._send(occurrences)
        super().move(occurrences, now)

    def withdraw(self, occurrence_ids, reason, now):
        self._send(occurrence_ids)
        super().withdraw(occurrence_ids, reason, now)

    def reserved(self, occurrence_ids):
        self._send(occurrence_ids)
        return super().reserved(occurrence_ids)


@breaks(
    BROKEN,
    "a_call_is_one_statement_whatever_the_number",
    "starts_are_reserved_by_one_statement",
)
class SendsOneByOne(Counting):
    def make_plans(self, made):
        return Counted(made, self.sent, together=False)


# What it costs


class CountedRuns(dict):
    """Counts how many runs are read."""

    read = 0

    def __getitem__(self, key):
        self.read += 1
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.read += 1
        return super().get(key, default)

    def values(self):
        self.read += len(self)
        return super().values()


class Measured(Intact):
    """Tells how many runs a lookup reads."""

    def make_storage(self):
        made = super().make_storage()
        made._tables.runs = CountedRuns()
        return made

    def effort_of(self, storage, lookup):
        storage._tables.runs.read = 0
        lookup()
        return storage._tables.runs.read


class LooksThroughAllRuns(MemoryStorage):
    def due(self, now, limit):
        ended = {run.id for run in self._tables.runs.values() if run.status.is_terminal}
        return [run for run in super().due(now, limit) if run.id not in ended]


@breaks(
    BROKEN,
    "what_has_ended_costs_a_lookup_nothing",
)
class ReadsWhatHasEnded(Measured):
    storage_class = LooksThroughAllRuns
