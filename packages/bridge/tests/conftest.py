"""Every test begins with nothing done and nothing seen."""

import pytest

from tests.hotel.automations import done, late, seen


@pytest.fixture(autouse=True)
def _nothing_done_yet() -> None:
    done.clear()
    late.clear()
    seen.clear()
