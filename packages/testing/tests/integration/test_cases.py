"""The same story in every kind of test case, inline and queued."""

import contextlib
import unittest
from datetime import timedelta
from typing import ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from automation.testing import AutomationTestMixin, FakeClock, Harness, plugin
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


class TestAFailure(AutomationTestMixin, TestCase):
    def test_is_shown_at_the_line_of_the_test_and_not_inside_the_claim(self):
        run = self.automation.start(Chase)
        result = unittest.TestResult()

        unittest.FunctionTestCase(lambda: self.automation.assert_completed(run)).run(result)

        ((_, shown),) = result.failures
        assert "Expected it to be COMPLETED" in shown
        assert "assertions.py" not in shown


class TestMistakes:
    def test_the_mixin_behind_the_test_case_is_refused_where_it_is_written(self):
        with pytest.raises(TypeError, match=r"class Wrong\(AutomationTestMixin, TestCase\)\. In the other order"):
            type("Wrong", (TestCase, AutomationTestMixin), {})

    def test_a_set_up_that_calls_no_other_is_told_to(self):
        case = type("NoSuper", (AutomationTestMixin, TestCase), {"setUp": lambda self: None, "runTest": None})()

        with pytest.raises(AttributeError, match=r"calls super\(\)\.setUp\(\) first"):
            case.automation.advance(days=1)
        with pytest.raises(AttributeError, match="'NoSuper' object has no attribute 'automaton'"):
            case.automaton.advance(days=1)

    def test_the_marker_takes_names(self, marked):
        with pytest.raises(pytest.UsageError, match=r"mark\.automation\('2030-01-01',\) takes arguments by name: at="):
            plugin._options(marked)

    @pytest.fixture
    def marked(self, request):
        request.node.add_marker(pytest.mark.automation("2030-01-01"))
        return request

    @pytest.mark.parametrize("move", ["advance", "jump"])
    def test_a_bare_number_is_asked_what_of(self, automation, move):
        with pytest.raises(TypeError, match=r"90 of what\? Write advance\(minutes=90\)"):
            getattr(automation.clock, move)(90)


@FakeClock("2030-06-01 09:00", zone="UTC")
class TestClockOverTheMixin(AutomationTestMixin, TestCase):
    def test_the_harness_has_the_clock_of_the_class(self):
        assert self.automation.clock.now().month == timezone.now().month == 6
        self.automation.advance(days=40)


decorator = Harness(at="2030-02-02 09:00", zone="UTC")


@pytest.mark.django_db
class TestDecorated:
    @pytest.mark.parametrize("time", [1, 2])
    def test_each_test_begins_at_the_first_moment(self, time):
        @decorator
        def story(automation):
            automation.start(Chase)
            automation.advance(days=1)
            return automation.clock.now().day, len(automation.executor.history)

        assert story()[0] == 3
        assert story() == story()

    def test_a_coroutine_is_decorated_as_well(self):
        @decorator
        async def story(automation):
            await automation.aio.start(Chase)
            return timezone.now().month

        assert async_to_sync(story)() == 2
