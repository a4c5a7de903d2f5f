"""The newcomer's tests again: with a queue and without, where commits are real and where nothing is committed."""

import pytest

from automation.testing import Harness
from tests.guide.test_newcomer import (
    stay,  # noqa: F401 (a fixture of the tests below)
    test_documents_that_come_are_used,  # noqa: F401
    test_housekeeping_is_told_at_the_second_attempt,  # noqa: F401
    test_it_waits_for_the_documents_of_the_guest,  # noqa: F401
    test_without_them_it_goes_on_after_90_minutes,  # noqa: F401
)

NOTHING_COMMITTED = pytest.param(None, id="rolled back", marks=pytest.mark.django_db)
REAL_COMMITS = pytest.param(None, id="committed", marks=pytest.mark.django_db(transaction=True))


@pytest.fixture(params=[NOTHING_COMMITTED, REAL_COMMITS])
def commits(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["queued", "inline"])
def automation(request, commits, automation_clock):
    with Harness(clock=automation_clock, inline=request.param) as automation:
        yield automation
