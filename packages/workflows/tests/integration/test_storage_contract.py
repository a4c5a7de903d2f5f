"""DjangoStorage keeps the storage contract on whatever database this runs."""

from collections.abc import Callable, Sequence, Sized
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, connections
from django.test.utils import CaptureQueriesContext

from automation.testing.contracts import StorageContract
from automation.testing.contracts.side_by_side import Beside
from automation.workflows.django_storage import DjangoStorage
from automation.workflows.models import MailboxPosition, WorkflowAttempt
from automation.workflows.ports import Storage
from automation.workflows.retention import cleanup
from automation.workflows.runs.values import Attempt, AttemptOutcome


def closing_connections(action: Callable[[], Any]) -> Callable[[], Any]:
    """Close the thread's own connections when it ends; nobody else would."""

    def act() -> Any:
        try:
            return action()
        finally:
            connections.close_all()

    return act


def instructions(lookup: Callable[[], object]) -> int:
    """SQLite counts what it executes; each row that it looks at takes some."""
    counted: list[None] = []

    def note() -> int:
        counted.append(None)
        return 0

    connection.connection.set_progress_handler(note, 1)
    try:
        lookup()
    finally:
        connection.connection.set_progress_handler(None, 1)
    return len(counted)


def tuples(lookup: Callable[[], object]) -> int:
    """PostgreSQL counts the rows that scans read and indexes fetch. Few rows it would always read all."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

        def read() -> int:
            cursor.execute("SELECT sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
            return int(cursor.fetchone()[0])

        return _difference(read, lookup)


def handled(lookup: Callable[[], object]) -> int:
    """MariaDB and MySQL count what a session reads from tables, row by row. Few rows they would rather read all."""
    Beside(closing_connections(count_rows)).result()
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION max_seeks_for_key = 1")

        def read() -> int:
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
            # What SHOW itself reads counts too, and is always the same.
            return sum(int(number) for _, number in cursor.fetchall())

        return _difference(read, lookup)


def count_rows() -> None:
    """Have InnoDB count the rows of all tables, which else it does in the background, some seconds after an INSERT.

    Until then it plans as if there were none. It ends a transaction, so it needs a connection of its own.
    """
    with connection.cursor() as cursor:
        names = ", ".join(connection.introspection.django_table_names(only_existing=True))
        cursor.execute(f"ANALYZE TABLE {names}")


def _difference(read: Callable[[], int], lookup: Callable[[], object]) -> int:
    before = read()
    lookup()
    return read() - before


_EFFORTS = {"sqlite": instructions, "postgresql": tuples, "mysql": handled}


@pytest.mark.django_db(transaction=True, available_apps=["automation.workflows"])
class TestDjangoStorage(StorageContract):
    """Every claim of the contract, with real commits."""

    def make_storage(self) -> Storage:
        return DjangoStorage()

    def beside(self, action: Callable[[], Any]) -> Beside:
        return Beside(closing_connections(action))

    def swallow_an_error(self, storage: Storage) -> bool:
        with suppress(IntegrityError):
            for _ in range(2):
                MailboxPosition.objects.create(pk=7)
        return True

    def clean_up(self, storage: Storage, now: datetime) -> bool:
        cleanup(now)
        return True

    def statements(self, storage: Storage) -> AbstractContextManager[Sized]:
        return CaptureQueriesContext(connection)

    def effort_of(self, storage: Storage, lookup: Callable[[], object]) -> int:
        return _EFFORTS[connection.vendor](lookup)

    def attempts_of(self, storage: Storage, run_id: UUID) -> Sequence[Attempt]:
        return [
            Attempt(
                run_id=row.run_id,
                revision=row.revision,
                step=row.step,
                visit=row.visit,
                number=row.number,
                outcome=AttemptOutcome(row.outcome),
                started_at=row.started_at.astimezone(UTC),
                finished_at=row.finished_at.astimezone(UTC),
                detail=row.detail,
            )
            for row in WorkflowAttempt.objects.filter(run_id=run_id).order_by("revision")
        ]
