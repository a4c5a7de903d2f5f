"""The same story in every kind of test case, inline and queued."""

import contextlib
from datetime import timedelta
from typing import ClassVar

import pytest
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from automation.testing import AutomationTestMixin, Harness
from tests.shop.automations import Chase, Prepare, note_payment
from tests.shop.models import Entry, Order


class Story(AutomationTestMixin):
    def test_a_payment_is_noted_once(self):
        with transaction.atomic():
            order = Order.objects.create(status="paid")
            assert not Entry.objects.exists()
        self.automation.run_until_idle()

        self.automation.assert_called(note_payment, about=order)
        assert Entry.objects.get().text == f"paid {order.pk}"

    def test_a_rollback_leaves_nothing(self):
        with contextlib.suppress(RuntimeError), transaction.atomic():
            Order.objects.create(status="paid")
            raise RuntimeError
        self.automation.run_until_idle()

        assert not Entry.objects.exists()

    def test_a_date_moves_what_was_planned_for_it(self):
        order = self.automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))
        self.automation.save(order, pickup_at=order.pickup_at + timedelta(days=1))

        self.automation.assert_waiting(Prepare, until=order.pickup_at - timedelta(hours=1))
        self.automation.advance_to(order.pickup_at)

        self.automation.assert_completed(Prepare)

    def test_a_run_goes_through_all_its_pauses(self):
        run = self.automation.start(Chase)
        self.automation.advance(days=31)

        self.automation.assert_completed(run, chased=2)


class TestQueued(Story, TestCase):
    pass


class TestInline(Story, TestCase):
    automation_options: ClassVar = {"inline": True}


class TestQueuedWithRealCommits(Story, TransactionTestCase):
    pass


class TestInlineWithRealCommits(Story, TransactionTestCase):
    automation_options: ClassVar = {"inline": True}


class TestOptions(AutomationTestMixin, TestCase):
    automation_options: ClassVar = {"at": "2035-05-05 12:00", "zone": "Asia/Tokyo"}

    def test_they_are_those_of_the_harness(self):
        assert self.automation.clock.now().isoformat() == "2035-05-05T03:00:00+00:00"


@pytest.mark.django_db
@pytest.mark.automation(at="2035-05-05T12:00+00:00", inline=True)
def test_the_fixture_takes_its_options_from_the_marker(automation):
    assert isinstance(automation, Harness)
    assert automation.clock.now().isoformat() == "2035-05-05T12:00:00+00:00"


def test_the_fixture_needs_no_database(automation):
    automation.advance(days=1)
    automation.run_until_idle()


@pytest.mark.automation(zone="Asia/Tokyo")
def test_the_clock_alone_is_a_fixture_too(automation_clock):
    automation_clock.advance(hours=1)

    assert timezone.now() == automation_clock.now()
    assert automation_clock.local().strftime("%H:%M") == "19:00"


def test_with_the_harness_it_is_the_same_clock(automation, automation_clock):
    assert automation.clock is automation_clock
