"""User code inside our transaction: what it breaks is undone. Code that runs no query costs no savepoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from automation.events.conf import conf

__all__ = ["failure_text", "guarded", "storable_text"]


@contextmanager
def guarded(*, but: str | None = None) -> Iterator[None]:
    """Set a savepoint before the first statement of the block on each database, and roll back to it when it raises.

    That goes for every database with an open transaction, whichever the event is stored on: PostgreSQL aborts a
    transaction when one statement of it fails. `but` names one that the caller takes care of.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block and connection.alias != but:
                stack.enter_context(_saving_first(connection))
        yield


@contextmanager
def _saving_first(connection: BaseDatabaseWrapper) -> Iterator[None]:
    with ExitStack() as stack:
        saving = False

        def save_first(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
            nonlocal saving
            if not saving:
                saving = True
                stack.enter_context(transaction.atomic(using=connection.alias))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(save_first):
            yield


def failure_text(error: BaseException) -> str:
    """Return the text that is stored for an error: its type and message, never one that cannot be stored."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - __str__ of a user's exception may raise anything
        message = "(its message cannot be shown)"
    name = type(error).__name__
    return storable_text(f"{name}: {message}" if message else name)


def storable_text(text: str) -> str:
    """Return `text` without what some database refuses (NUL, lone surrogates), cut to the limit."""
    clean = text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
    return clean[: conf().error_limit]
