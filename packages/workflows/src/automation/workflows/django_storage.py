"""The Storage in Django's tables: on SQLite, PostgreSQL, MySQL and MariaDB, at READ COMMITTED."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, F, Field, Q, Value, When
from django.db.models.functions import Cast

from automation.workflows.conf import database_alias
from automation.workflows.digests import key_digest, occurrence_digest
from automation.workflows.errors import BrokenTransaction, StaleRun, UnreadableRun
from automation.workflows.mailbox import DjangoMailbox
from automation.workflows.models import MailboxPosition, WorkflowAttempt, WorkflowReceipt, WorkflowRun
from automation.workflows.parking import park
from automation.workflows.plans import DjangoPlans
from automation.workflows.reading import SPOILT, readable
from automation.workflows.rows import attempt_row, changed_columns, run_from_row, run_row
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import Run, Unreadable, WorkflowStatus

__all__ = ["DjangoStorage"]

_T = TypeVar("_T")

_BATCH = 500
"""Rows in one statement: River, Oban and Django's own bulk operations stay in the same region."""
_BATCH_BYTES = 4 * 1024 * 1024
"""Values in one statement: MariaDB takes a packet of 16 MiB at its defaults, and quoting may double what is written."""
_PUT_OFF = timedelta(minutes=1)
_ROLLED_BACK = frozenset({1020, 1213})
"""Errors with which InnoDB rolls back the whole transaction, not the statement: a row changed since the snapshot was
taken (where the server checks that), and a deadlock."""


class DjangoStorage:
    """The engine's storage in the project's database: see the port for what is promised."""

    def __init__(self, alias: str | None = None) -> None:
        self._alias = alias

    @property
    def alias(self) -> str:
        """The alias of the database: the one given, else the setting's."""
        return self._alias or database_alias()

    @property
    def mailbox(self) -> DjangoMailbox:
        """The signals, in the same database."""
        return DjangoMailbox(self.alias)

    @property
    def plans(self) -> DjangoPlans:
        """The reserved starts, in the same database."""
        return DjangoPlans(self.alias)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction, or a savepoint inside one."""
        connection = connections[self.alias]
        is_outermost = not connection.in_atomic_block
        is_whole = False
        try:
            with transaction.atomic(using=self.alias), _noticing_rollbacks(connection):
                if is_outermost and _reads_before_it_locks(connection):
                    # A write first: SQLite then waits for other writers here, and never fails a read that turns writer.
                    MailboxPosition.objects.using(self.alias).filter(pk=0).update(value=0)
                yield
                is_whole = True
        except DatabaseError as error:
            # A lost connection, a deadlock or a failed serialisation is the circumstances' fault: an OperationalError.
            if not (is_outermost and is_whole) or isinstance(error, OperationalError):
                raise
            raise BrokenTransaction(
                f"The database refused the commit, where it checks what is deferred: {error}"
            ) from error

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call `action` once the outermost transaction has committed; what it raises is logged by Django.

        Where the project commits by hand (`set_autocommit(False)`), Django cannot tell when that is: the sweep will do
        what is owed.
        """

        def act() -> None:
            # Django logs what raised by its `__qualname__`, which a partial has not: the caller would get that error.
            action()

        connection = connections[self.alias]
        if connection.in_atomic_block or connection.get_autocommit():
            transaction.on_commit(act, using=self.alias, robust=True)

    def insert(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Insert in batches; those that lose to a unique key are read back."""
        self._refuse_broken()
        keyed = [run for run in runs if _digests(run)]
        free = [run_row(run) for run in runs if not _digests(run)]
        self._create(free)
        if not keyed:
            return list(runs)
        # Always in the order of keys: two who insert the same runs wait for each other and do not deadlock.
        rows = [run_row(run) for run in sorted(keyed, key=_digests)]
        self._create(rows, ignore_conflicts=True)
        stored = self._stored(keyed)
        return [_stored_or_itself(run, stored) for run in runs]

    def load(self, run_id: UUID) -> Run | None:
        """Read one row; what cleanup has emptied is gone."""
        try:
            row = WorkflowRun.objects.using(self.alias).filter(pk=run_id).first()
            return None if row is None else run_from_row(row)
        except SPOILT as error:
            raise UnreadableRun(
                f"Run {run_id} cannot be read ({type(error).__name__}: {error}): its row was spoilt, or written by a "
                "newer release. The sweep holds it; repair the row, or deploy that release, and it goes on by itself."
            ) from error

    def apply(self, transitions: Sequence[Transition]) -> None:
        """Compare and set, one statement for a single run, a fixed number of them for a batch of up to 500."""
        if not transitions:
            return
        self._refuse_broken()
        is_alone = len(transitions) == 1 and transitions[0].consumed is None
        # A lone compare-and-set that fails has changed nothing, so it needs no savepoint.
        is_safe = is_alone and connections[self.alias].in_atomic_block
        with nullcontext() if is_safe else transaction.atomic(using=self.alias):
            for batch in _batches(transitions, _weight_of_move):
                self._apply(batch)

    def due(self, now: datetime, limit: int) -> Sequence[Run | Unreadable]:
        """Read the index on `next_at` from its start; what cannot be read is held, and looked at again in a minute."""
        rows = WorkflowRun.rows.using(self.alias).filter(next_at__lte=now)
        found, spoilt = readable(rows.order_by("next_at", "pk"), limit, run_from_row)
        # Only as long as it is due: a newer release, which can read it, may have taken it meanwhile.
        park(rows, spoilt, now + _PUT_OFF)
        return [*found, *(Unreadable(id=run_id, reason=reason) for run_id, reason in spoilt.items())]

    def upcoming(self, after: datetime, until: datetime, limit: int) -> Sequence[tuple[UUID, datetime]]:
        """Read a slice of the index on `next_at`."""
        rows = WorkflowRun.rows.using(self.alias).filter(
            next_at__gt=after, next_at__lte=until, status=WorkflowStatus.WAITING.value
        )
        upcoming = rows.order_by("next_at", "pk").values_list("pk", "next_at")[:limit]
        return [(run_id, next_at.astimezone(UTC)) for run_id, next_at in upcoming if next_at is not None]

    def _create(self, rows: Sequence[WorkflowRun], *, ignore_conflicts: bool = False) -> None:
        with transaction.atomic(using=self.alias, savepoint=False):
            for batch in _batches(rows, _weight_of_row):
                WorkflowRun.rows.using(self.alias).bulk_create(batch, ignore_conflicts=ignore_conflicts)

    def _refuse_broken(self) -> None:
        """Raise BrokenTransaction where a statement would only be refused, without sending one."""
        connection = connections[self.alias]
        if connection.in_atomic_block and (connection.needs_rollback or _is_aborted(connection)):
            raise BrokenTransaction(
                "The transaction can only be rolled back: a database error was caught inside it. Put the statement "
                "that may fail into its own `with transaction.atomic():`, and catch the error outside of that block."
            )

    def _apply(self, transitions: Sequence[Transition]) -> None:
        if len(transitions) == 1:
            self._compare_and_set(transitions[0])
        else:
            self._lock_unchanged(transitions)
            self._update_together(transitions)
        attempts = [attempt_row(move.attempt) for move in transitions if move.attempt is not None]
        if attempts:
            WorkflowAttempt.objects.using(self.alias).bulk_create(attempts)
        self._record_receipts(transitions)

    def _compare_and_set(self, move: Transition) -> None:
        rows = WorkflowRun.rows.using(self.alias).filter(pk=move.before.id, revision=move.before.revision)
        if not rows.update(**changed_columns(move.before, move.after)):
            raise StaleRun(move.before.id, move.before.revision)

    def _lock_unchanged(self, transitions: Sequence[Transition]) -> None:
        """Lock the rows in the order of ids and compare; where no row locks exist, the transaction is the lock."""
        rows = WorkflowRun.rows.using(self.alias).filter(pk__in=[move.before.id for move in transitions])
        stored = dict(rows.order_by("pk").select_for_update().values_list("pk", "revision"))
        for move in transitions:
            if stored.pop(move.before.id, None) != move.before.revision:
                raise StaleRun(move.before.id, move.before.revision)

    def _update_together(self, transitions: Sequence[Transition]) -> None:
        changes = {move.before.id: changed_columns(move.before, move.after) for move in transitions}
        for move in transitions:
            changes[move.before.id].pop("revision", None)
        names = sorted(set(chain.from_iterable(changes.values())))
        connection = connections[self.alias]
        WorkflowRun.rows.using(self.alias).filter(pk__in=list(changes)).update(
            revision=F("revision") + 1, **{name: _assignment(name, changes, connection) for name in names}
        )

    def _record_receipts(self, transitions: Sequence[Transition]) -> None:
        receipts = {
            move.before.id: WorkflowReceipt(run_id=move.before.id, signal_id=move.consumed)
            for move in transitions
            if move.consumed is not None
        }
        try:
            WorkflowReceipt.objects.using(self.alias).bulk_create(receipts.values())
        except IntegrityError as error:
            first = next(move.before for move in transitions if move.before.id in receipts)
            raise StaleRun(first.id, first.revision) from error

    def _stored(self, runs: Sequence[Run]) -> dict[str, Run]:
        """Read back who holds the unique keys of these runs, by digest."""
        digests = [digest for run in runs for digest in _digests(run)]
        held = Q(run_key_digest__in=digests) | Q(occurrence_digest__in=digests)
        found: dict[str, Run] = {}
        for row in WorkflowRun.rows.using(self.alias).filter(held):
            for digest in filter(None, (row.run_key_digest, row.occurrence_digest)):
                found[digest] = run_from_row(row)
        return found


def _reads_before_it_locks(connection: BaseDatabaseWrapper) -> bool:
    """Return whether transactions begin without the write lock: SQLite's DEFERRED, its default."""
    return connection.vendor == "sqlite" and getattr(connection, "transaction_mode", None) in {None, "DEFERRED"}


@contextmanager
def _noticing_rollbacks(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have Django know when InnoDB has rolled back everything: what follows would commit as half a transaction."""
    if connection.vendor != "mysql":
        yield
        return
    with connection.execute_wrapper(_mark_rolled_back):
        yield


def _mark_rolled_back(
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,  # noqa: FBT001 - as Django calls it
    context: Mapping[str, Any],
) -> Any:
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        if error.args and error.args[0] in _ROLLED_BACK:
            context["connection"].needs_rollback = True
        raise


def _is_aborted(connection: BaseDatabaseWrapper) -> bool:
    """Return whether PostgreSQL refuses further statements; Django does not know of errors in plain queries."""
    info = getattr(connection.connection, "info", None)
    status = getattr(info, "transaction_status", None)
    return connection.vendor == "postgresql" and getattr(status, "name", "") == "INERROR"


def _batches(items: Sequence[_T], weigh: Callable[[_T], int]) -> Iterator[Sequence[_T]]:
    """Cut into what one statement can carry, by number and by size: each row of a batch is written out in it."""
    if len(items) == 1:
        yield items
        return
    batch: list[_T] = []
    size = 0
    for item in items:
        weight = weigh(item)
        if batch and (len(batch) == _BATCH or size + weight > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch


def _weight_of_row(row: WorkflowRun) -> int:
    return _weight(vars(row))


def _weight_of_move(move: Transition) -> int:
    return _weight(changed_columns(move.before, move.after))


def _weight(columns: Mapping[str, Any]) -> int:
    """Return about how many characters the values of a row take in a statement."""
    texts = (json.dumps(value) if isinstance(value, dict) else value for value in columns.values())
    return sum(len(text) for text in texts if isinstance(text, str))


def _digests(run: Run) -> list[str]:
    return [digest for digest in (key_digest(run), occurrence_digest(run)) if digest is not None]


def _stored_or_itself(run: Run, stored: Mapping[str, Run]) -> Run:
    return next((stored[digest] for digest in _digests(run) if digest in stored), run)


def _assignment(name: str, changes: Mapping[UUID, Mapping[str, Any]], connection: BaseDatabaseWrapper) -> Any:
    """Return the value that all rows get, or the CASE that gives each its own."""
    values = {run_id: columns[name] for run_id, columns in changes.items() if name in columns}
    first = next(iter(values.values()))
    if len(values) == len(changes) and all(_is_same(value, first) for value in values.values()):
        return first
    field = cast("Field[Any, Any]", WorkflowRun._meta.get_field(name))
    cases = [When(pk=run_id, then=Value(value, output_field=field)) for run_id, value in values.items()]
    case = Case(*cases, default=F(name), output_field=field)
    return Cast(case, output_field=field) if connection.features.requires_casted_case_in_updates else case


def _is_same(value: Any, other: Any) -> bool:
    """Compare as stored: equal JSON values may differ in type."""
    if isinstance(value, dict) and isinstance(other, dict):
        return json.dumps(value) == json.dumps(other)
    return bool(value == other)
