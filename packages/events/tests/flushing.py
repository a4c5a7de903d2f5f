"""Emptying the tables between tests, by DELETE: for a handful of rows TRUNCATE costs a hundred times as much.

Content types and permissions stay, so nothing has to make them again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.core.management.commands import flush
from django.db import connections

KEPT = {"django_content_type", "auth_permission"}


@contextmanager
def quick_flush() -> Iterator[None]:
    """Flush by DELETE inside the block."""
    kinds = {type(connection.ops) for connection in connections.all()}
    patches = [mock.patch.object(kind, "sql_flush", _deletes) for kind in kinds]
    patches.append(mock.patch.object(flush, "emit_post_migrate_signal", return_value=None))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _deletes(self, style, tables, **_):
    deletes = [f"DELETE FROM {self.quote_name(table)}" for table in tables if table not in KEPT]
    if self.connection.vendor == "mysql":
        return ["SET FOREIGN_KEY_CHECKS = 0", *deletes, "SET FOREIGN_KEY_CHECKS = 1"]
    return deletes
