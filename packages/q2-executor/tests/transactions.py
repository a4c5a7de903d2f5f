"""A transaction that is rolled back at its end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import transaction


class _Rollback(Exception):
    pass


@contextmanager
def rolled_back() -> Iterator[None]:
    """Open a transaction; undo it when the block ends."""
    with suppress(_Rollback), transaction.atomic():
        yield
        raise _Rollback
