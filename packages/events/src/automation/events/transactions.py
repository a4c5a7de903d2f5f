"""Transactions: what is remembered for the length of one, and which ones the database took back by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connections, transaction

__all__ = ["memory", "noticing_rollbacks", "was_taken_back"]

TAKEN_BACK = frozenset({"40001", "40P01", 1020, 1213})
"""Serialization failures and deadlocks: SQLSTATEs of PostgreSQL, numbers of MySQL and MariaDB."""
ATTRIBUTE = "_automation_events_memory"


class _Memory(dict[Any, Any]):
    """Lives as long as it is among the hooks of the transaction: a rollback drops the hook, and so the memory."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __call__(self) -> None:
        self.clear()


def memory(using: str) -> dict[Any, Any]:
    """Return a dict that is empty at the start of the open transaction and forgotten when that ends.

    What was remembered inside a savepoint that was rolled back is forgotten if the savepoint was the first to
    remember anything; otherwise it stays, so keep only what is true of the state before the transaction.
    """
    connection = connections[using]
    kept: Any = getattr(connection, ATTRIBUTE, None)
    if kept is None or not any(hook[1] is kept for hook in connection.run_on_commit):
        kept = _Memory()
        setattr(connection, ATTRIBUTE, kept)
        transaction.on_commit(kept, using=using, robust=True)
    return kept  # type: ignore[no-any-return]


def was_taken_back(error: DatabaseError) -> bool:
    """Return whether the database undid the whole transaction for the sake of another one: it may be tried again."""
    return getattr(error.__cause__, "sqlstate", None) in TAKEN_BACK or bool(error.args and error.args[0] in TAKEN_BACK)


@contextmanager
def noticing_rollbacks(using: str) -> Iterator[None]:
    """Have Django know when InnoDB has undone everything: what follows would commit as half a transaction.

    Put it right inside the `atomic()` that it is about. Other databases refuse what follows by themselves.
    """
    connection = connections[using]
    if connection.vendor != "mysql":
        yield
        return
    with connection.execute_wrapper(_mark_taken_back):
        yield


def _mark_taken_back(
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,  # noqa: FBT001 - as Django calls it
    context: Mapping[str, Any],
) -> Any:
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        if was_taken_back(error):
            context["connection"].needs_rollback = True
        raise
