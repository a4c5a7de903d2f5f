"""Tests that commit are cheap to clear up after."""

from collections.abc import Iterator

import pytest

from automation.testing.flushing import quick_flush


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    with quick_flush():
        yield
