"""Every test begins with nothing done and nothing seen."""

from collections.abc import Iterator

import pytest

from automation.testing.flushing import quick_flush
from tests.hotel.automations import done, kinds, late, seen


@pytest.fixture(autouse=True)
def _nothing_done_yet() -> None:
    done.clear()
    kinds.clear()
    late.clear()
    seen.clear()


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    with quick_flush():
        yield
