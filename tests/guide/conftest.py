from collections.abc import Iterator

import pytest

from automation.testing.flushing import quick_flush
from tests.guide.bookings.automations import lifecycle

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_seen():
    lifecycle.seen.clear()


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    with quick_flush():
        yield
