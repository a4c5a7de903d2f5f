"""What somebody new gets wrong on the first day is answered with what to write instead."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from automation.testing import FakeClock, FakeExecutor, Faults, Harness
from automation.workflows.core import complete
from tests.shop.automations import Chase, note_payment
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


class TestMoments:
    @pytest.mark.parametrize("given", [date(2030, 5, 1), timedelta(days=1), 5], ids=["date", "length", "number"])
    @pytest.mark.parametrize(
        "use",
        [
            lambda automation, given: automation.advance_to(given),
            lambda automation, given: automation.clock.instant(given),
            lambda automation, given: automation.assert_waiting(automation.start(Chase), until=given),
            lambda automation, given: Harness(at=given),
            lambda automation, given: FakeClock(given),
        ],
        ids=["advance_to", "instant", "until", "harness", "clock"],
    )
    def test_what_is_no_moment_is_refused(self, automation, given, use):
        with pytest.raises(TypeError, match=r"is no moment\. Give a datetime, or a text such as '2030-03-31 09:00'\."):
            use(automation, given)

    def test_a_text_that_is_no_moment_is_refused(self, automation):
        with pytest.raises(ValueError, match=r"'tomorrow' is no moment\. Give a datetime, or a text such as '2030-"):
            automation.advance_to("tomorrow")

    def test_a_moment_is_no_length_of_time(self, automation):
        with pytest.raises(TypeError, match=r"is no length of time\. .*advance_to"):
            automation.advance(datetime(2030, 5, 1, tzinfo=UTC))

    @pytest.mark.parametrize("given", [5, "an hour", datetime(2030, 5, 1)], ids=["number", "text", "moment"])
    @pytest.mark.parametrize(
        ("use", "word"),
        [
            (lambda automation, given: automation.run_to_end(automation.start(Chase), within=given), "within="),
            (lambda automation, given: automation.executor.delay(given), "by="),
            (lambda automation, given: FakeExecutor(horizon=given), "horizon="),
            (lambda automation, given: Faults(longest_delay=given), "longest_delay="),
        ],
        ids=["within", "delay", "horizon", "longest_delay"],
    )
    def test_what_is_no_length_of_time_is_refused(self, automation, given, use, word):
        says = rf"{re.escape(repr(given))} is no length of time\. Write {word}timedelta\(minutes="
        with pytest.raises(TypeError, match=says):
            use(automation, given)

    @pytest.mark.parametrize("move", ["advance", "jump"])
    @pytest.mark.parametrize("far", [{"by": timedelta.max}, {"days": 10**9}, {"days": 10**7}], ids=repr)
    def test_a_time_beyond_every_calendar_is_refused(self, automation, move, far):
        with pytest.raises(ValueError, match=r"The clock shows 20.*, and no date lies so far from it"):
            getattr(automation.clock, move)(**far)

    def test_a_run_may_take_for_ever(self, automation):
        assert automation.run_to_end(automation.start(Chase), within=timedelta.max).status.is_terminal

    @pytest.mark.parametrize("move", ["advance", "jump"])
    def test_a_unit_that_there_is_not_is_refused_by_its_name(self, automation, move):
        with pytest.raises(TypeError, match=rf"{move}\(\) got an unexpected keyword argument 'hour'"):
            getattr(automation.clock, move)(hour=5)

    def test_a_wall_time_is_hours_and_minutes(self, automation):
        with pytest.raises(ValueError, match=r"'9am' is no wall time\. Write hours and minutes: '09:00'\."):
            automation.clock.advance_to_next("9am")


class TestInstances:
    @pytest.mark.parametrize("given", [None, Order, [Order()], Order.objects], ids=["none", "class", "list", "manager"])
    def test_what_cannot_be_saved_is_refused(self, automation, given):
        with pytest.raises(TypeError, match=r"cannot be saved\. Give one model instance, or several: save\(one, other"):
            automation.save(given)

    @pytest.mark.parametrize(
        "claim",
        [
            lambda automation: automation.assert_occurred(Order, "order_paid"),
            lambda automation: automation.assert_occurred("order_paid", Order()),
            lambda automation: automation.assert_called(note_payment, about=Order),
            lambda automation: automation.assert_completed(Chase, about=Order),
            lambda automation: automation.assert_no_run(Chase, about="order 1"),
            lambda automation: automation.event(Order, "order_paid"),
        ],
        ids=["event", "swapped", "callback", "run", "no_run", "look"],
    )
    def test_a_claim_is_about_an_instance(self, automation, claim):
        with pytest.raises(TypeError, match=r"is no model instance\. Say which object it is about"):
            claim(automation)

    def test_what_was_made_in_bulk_is_told_apart_from_what_is_not_saved(self, automation):
        (order,) = Order.objects.bulk_create([Order(status="paid")])
        automation.run_until_idle()

        with pytest.raises(AssertionError, match=r"bulk_create and update\(\) .*Event\.objects\.sync\(queryset\)"):
            automation.assert_occurred(order, "order_paid")


class TestSteps:
    def test_a_step_may_be_named_by_its_method(self, automation):
        automation.assert_waiting(automation.start(Chase), at=Chase.await_payment)

    def test_a_step_may_raise_a_class_as_python_does(self, automation):
        with automation.stub_step(Chase, "await_payment", raises=KeyError):
            run = automation.run_to_end(automation.start(Chase))

        automation.assert_failed(run, match="KeyError")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"does": complete}, None),
            ({"does": 5}, r"does=5 cannot be called\. Give a function of the workflow, or returns=5\."),
            ({"raises": "no money"}, r"raises='no money' is no exception"),
        ],
        ids=["callable", "does", "raises"],
    )
    def test_what_a_stub_does_is_looked_at_before_any_step_is_entered(self, automation, given, message):
        if message is None:
            with automation.stub_step(Chase, "await_payment", **given):
                return
        with pytest.raises(TypeError, match=message), automation.stub_step(Chase, "await_payment", **given):
            pass


class TestStories:
    def test_a_story_is_not_told_by_the_test(self, automation):
        with pytest.raises(TypeError, match=r"is no story\. Give the function itself, without calling it"):
            automation.at_every_crash_point(automation.start(Chase))

    def test_one_thing_to_ignore_may_be_given_as_text(self, automation):
        automation.at_every_crash_point(lambda: automation.start(Chase) and None, ignore="mails")
