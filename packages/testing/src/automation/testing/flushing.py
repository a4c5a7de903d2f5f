"""Emptying the tables between tests that commit: by DELETE, and only where something is.

Django's `flush` truncates every table, and then lets each app install again what it had installed. For the handful of
rows that a test leaves, that is much work.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

from django.core.management.commands import flush
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["quick_flush"]

KEPT = ("django_content_type", "auth_permission")
"""What `migrate` writes of the models. It stays, so that nobody has to write it again."""


@contextmanager
def quick_flush() -> Iterator[None]:
    """Let `flush`, which ends each test that commits, empty the tables by DELETE inside the block.

    Content types and permissions stay, sequences go on, and `post_migrate` is not sent: what an app installs by that
    signal (the schedules of a queue) is gone with the rest, and not there again for the next test.
    """
    with mock.patch.object(flush.Command, "handle", lambda command, *, database, **_: _empty(connections[database])):
        yield


def _empty(connection: BaseDatabaseWrapper) -> None:
    tables = [name for name in connection.introspection.django_table_names(only_existing=True) if name not in KEPT]
    full = _with_rows(connection, tables)
    if not full:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for statement in _deletes(connection, full):
            cursor.execute(statement)


def _with_rows(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
    """Ask once for all tables: a question to each would be most of the time."""
    if not tables:
        return []
    asked = " UNION ALL ".join(
        f"SELECT {index} WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})"  # noqa: S608
        for index, name in enumerate(tables)
    )
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return [tables[index] for (index,) in cursor.fetchall()]


def _deletes(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
    deletes = [f"DELETE FROM {connection.ops.quote_name(name)}" for name in tables]  # noqa: S608 (names of models)
    if connection.vendor == "mysql":
        # The others ask at the commit whether each reference still leads somewhere; InnoDB asks at each row.
        return ["SET FOREIGN_KEY_CHECKS = 0", *deletes, "SET FOREIGN_KEY_CHECKS = 1"]
    return deletes
