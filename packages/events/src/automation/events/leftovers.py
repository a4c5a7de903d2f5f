"""What callbacks leave open: a transaction that outlives its call would take in all that its process stores later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from automation.events.errors import CallbackError

__all__ = ["nothing_left_open"]


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Roll back, on every database, what was begun in the block and not ended; raise CallbackError for it.

    What the block raises itself goes before that. Raw `BEGIN` is not seen: Django does not know of it either.
    """
    found = {one.alias: _state(one) for one in connections.all(initialized_only=True)}
    try:
        yield
    except BaseException:
        _restore_all(found)
        raise
    if left := _restore_all(found):
        raise CallbackError(
            f"Database {left[0]!r} was left in a transaction, which is rolled back: nothing would ever commit it. Use "
            "`with transaction.atomic():`, or end set_autocommit(False) by commit() and set_autocommit(True)."
        )


@dataclass(frozen=True, slots=True)
class _State:
    """How far a connection is in transactions."""

    depth: int
    autocommit: bool


def _state(connection: BaseDatabaseWrapper) -> _State:
    """Return what it is; before it connects, what it will be."""
    is_new = connection.connection is None
    autocommit = connection.settings_dict["AUTOCOMMIT"] if is_new else connection.autocommit
    return _State(depth=len(connection.atomic_blocks), autocommit=autocommit)


def _restore_all(found: Mapping[str, _State]) -> list[str]:
    """Bring every connection back to how it was found; return the names of those that were otherwise."""
    connected = connections.all(initialized_only=True)
    return [one.alias for one in connected if _restore(one, found.get(one.alias))]


def _restore(connection: BaseDatabaseWrapper, found: _State | None) -> bool:
    wanted = found or _State(depth=0, autocommit=connection.settings_dict["AUTOCOMMIT"])
    blocks = connection.atomic_blocks
    was_left = len(blocks) > wanted.depth
    while len(blocks) > wanted.depth:
        # As if it had raised: Django rolls back to the savepoint, or the whole of it.
        blocks[-1].__exit__(CallbackError, CallbackError(), None)
    if wanted.depth or _state(connection).autocommit == wanted.autocommit:
        return was_left
    try:
        connection.rollback()
        connection.set_autocommit(wanted.autocommit)
    except Error:
        # The database is away: it rolls back by itself, and the next connection is a new one.
        connection.close()
    return True
