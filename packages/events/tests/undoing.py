"""A transaction that is rolled back at the end of its block."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import transaction


class _Undo(Exception):
    pass


@contextmanager
def rolled_back(using: str = "default") -> Iterator[None]:
    """Roll everything in the block back, a savepoint's worth if a transaction is open."""
    with suppress(_Undo), transaction.atomic(using=using):
        yield
        raise _Undo
