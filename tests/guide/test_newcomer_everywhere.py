"""The newcomer's tests again: with a queue and without, where commits are real and where nothing is committed."""

from datetime import timedelta
from typing import ClassVar

import pytest
from django.db import connection
from django.test import TestCase, TransactionTestCase

from automation.testing import AutomationTestMixin, Harness
from tests.guide import test_newcomer
from tests.guide.bookings.models import Stay
from tests.guide.test_newcomer import (
    stay,  # noqa: F401 (a fixture of the tests below)
    test_documents_that_come_are_used,  # noqa: F401
    test_housekeeping_is_told_at_the_second_attempt,  # noqa: F401
    test_it_waits_for_the_documents_of_the_guest,  # noqa: F401
    test_without_them_it_goes_on_after_90_minutes,  # noqa: F401
)

NOTHING_COMMITTED = pytest.param(True, id="rolled back", marks=pytest.mark.django_db)
REAL_COMMITS = pytest.param(False, id="committed", marks=pytest.mark.django_db(transaction=True))


@pytest.fixture(params=[NOTHING_COMMITTED, REAL_COMMITS])
def is_rolled_back(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["queued", "inline"])
def automation(request, is_rolled_back, automation_clock):
    assert connection.in_atomic_block == is_rolled_back
    with Harness(clock=automation_clock, inline=request.param) as automation:
        yield automation


class Newcomer(AutomationTestMixin):
    """The same tests as methods of Django's test cases."""

    def setUp(self):
        super().setUp()
        self.stay = self.automation.save(Stay(checkout_at=self.automation.clock.now() + timedelta(days=3)))
        self.automation.advance_to(self.stay.checkout_at - timedelta(hours=2))


for name, function in list(vars(test_newcomer).items()):
    if name.startswith("test_"):
        setattr(Newcomer, name, lambda self, function=function: function(self.automation, self.stay))


class TestQueued(Newcomer, TestCase):
    pass


class TestInline(Newcomer, TestCase):
    automation_options: ClassVar = {"inline": True}


class TestQueuedWithRealCommits(Newcomer, TransactionTestCase):
    pass


class TestInlineWithRealCommits(Newcomer, TransactionTestCase):
    automation_options: ClassVar = {"inline": True}
