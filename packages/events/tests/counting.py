"""Counting statements as the contract counts them."""

from contextlib import contextmanager

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "START TRANSACTION", "SET ")


class Counted:
    def __init__(self):
        self.statements = []

    def __len__(self):
        return len(self.statements)

    def on(self, *tables):
        """Return the statements that touch one of these tables."""
        return [sql for sql in self.statements if any(table in sql for table in tables)]


@contextmanager
def counted():
    """Collect the statements of the block, without those that open and close transactions."""
    ContentType.objects.get_for_models(*_declaring())
    found = Counted()
    with CaptureQueriesContext(connection) as queries:
        yield found
    found.statements = [
        one["sql"] for one in queries.captured_queries if not one["sql"].upper().startswith(NOT_COUNTED)
    ]


def _declaring():
    from automation.events.registry import declarations

    return {one.model for one in declarations().values()}
