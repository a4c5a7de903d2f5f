"""One story told again and again, each time as if for the first time."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from automation.testing.installed import open_aliases

__all__ = ["undone"]


@contextmanager
def undone() -> Iterator[None]:
    """Undo, after the block, what it wrote to the databases and which mails it sent.

    To the block it looks as in Django's `TestCase`: nothing is committed, and what waits for a commit is run by the
    Harness.
    """
    with ExitStack() as stack:
        stack.callback(_forget_mails, len(_outbox()))
        for alias in open_aliases():
            stack.enter_context(_rolled_back(alias))
        yield


@contextmanager
def _rolled_back(alias: str) -> Iterator[None]:
    from django.db import transaction

    atomic = transaction.atomic(using=alias)
    # The mark of TestCase: such a block counts as "no transaction is open" for durable blocks, and for us.
    vars(atomic)["_from_testcase"] = True
    with atomic:
        yield
        transaction.set_rollback(True, using=alias)


def _outbox() -> list[Any]:
    return getattr(sys.modules.get("django.core.mail"), "outbox", [])


def _forget_mails(kept: int) -> None:
    del _outbox()[kept:]
