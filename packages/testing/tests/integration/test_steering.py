"""Stubs, skipped sleeps, running to the end, and recordings."""

from datetime import timedelta

import pytest
from django.utils import timezone

from automation.testing import Harness, NeverIdleError, loops
from automation.workflows.core import complete, engine, goto, sleep
from tests.shop.automations import Careful, Chase, Patient, Prepare, call_customer, note_payment
from tests.shop.models import Entry, Order

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[{}, {"inline": True}], ids=["queued", "inline"])
def automation(request):
    with Harness(**request.param) as automation:
        yield automation


class TestStubbedStep:
    def test_returns_what_it_is_told_and_counts_its_entries(self, automation):
        with automation.stub_step(Chase, "await_payment", returns=goto("rest")) as stub:
            run = automation.start(Chase)

        automation.assert_waiting(run, at="rest")
        assert stub.entered == [{"paid": False, "chased": 0}]
        assert repr(stub) == "StubbedStep(entered 1 times)"

    def test_raises_what_it_is_told_and_is_retried(self, automation):
        with automation.stub_step(Chase, Chase.await_payment, raises=RuntimeError("busy")) as stub:
            run = automation.start(Chase)
            automation.advance(minutes=1)

        automation.assert_failed(run, match="busy")
        assert len(stub.entered) == 3

    def test_each_try_has_a_traceback_of_its_own(self, automation):
        with automation.stub_step(Chase, "await_payment", raises=RuntimeError("busy")):
            run = automation.run_to_end(automation.start(Chase))

        assert run.error.count("in raise_it") == 1

    def test_does_what_it_is_told_with_the_workflow(self, automation):
        def pay(workflow):
            workflow.context.paid = True
            return complete()

        with automation.stub_step("shop.chase", "await_payment", does=pay):
            run = automation.start(Chase)

        automation.assert_completed(run, paid=True)

    def test_two_steps_may_be_stubbed_together(self, automation):
        with (
            automation.stub_step(Chase, "await_payment", returns=goto("chase")),
            automation.stub_step(Chase, "chase", returns=complete(chased=9)),
        ):
            run = automation.start(Chase)

        automation.assert_completed(run, chased=9)

    def test_the_step_is_itself_again_afterwards(self, automation):
        with automation.stub_step(Chase, "await_payment", returns=complete()):
            pass

        automation.assert_waiting(automation.start(Chase), at="await_payment")

    def test_an_unknown_step_is_refused_with_those_there_are(self, automation):
        with (
            pytest.raises(ValueError, match=r"'awiat' is not a step of 'shop.chase'. It has: await_payment, chase"),
            automation.stub_step(Chase, "awiat", returns=complete()),
        ):
            pass

    @pytest.mark.parametrize("said", [{}, {"returns": complete(), "raises": RuntimeError()}])
    def test_exactly_one_behaviour_is_asked_for(self, automation, said):
        with pytest.raises(ValueError, match="Say one thing"), automation.stub_step(Chase, "chase", **said):
            pass


class TestSkippedSleeps:
    def test_sleeps_and_retries_take_no_steps_of_the_clock(self, automation):
        with automation.skip_sleeps():
            run = automation.start(Chase)
            automation.assert_waiting(run, for_signal="paid")
            automation.signal("paid", {"paid": True})

        automation.assert_completed(run)
        assert automation.clock.now() == run.created_at + timedelta(days=30)

    def test_other_things_due_on_the_way_happen_in_their_turn(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        with automation.skip_sleeps():
            automation.start(Chase)
            automation.signal("paid", {"paid": True})

        automation.assert_occurred(order, "pickup_due")
        assert automation.run(Prepare).finished_at == order.pickup_at - timedelta(hours=1)

    def test_timeouts_and_offsets_are_waited_for_as_ever(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))
        began = automation.clock.now()

        with automation.skip_sleeps():
            automation.start(Chase)

        assert automation.clock.now() == began
        automation.assert_waiting(Prepare)
        automation.assert_pending(order, "pickup_due")

    @pytest.mark.parametrize("every", [timedelta(days=60), timedelta(minutes=1)], ids=["too long", "too often"])
    def test_sleeps_that_follow_each_other_for_ever_are_reported(self, automation, every, monkeypatch):
        monkeypatch.setattr(loops, "_MOST_SLEEPS", 10)
        with (
            automation.skip_sleeps(),
            automation.stub_step(Chase, "await_payment", returns=sleep(every)),
            pytest.raises(
                NeverIdleError, match=r"^Workflow 'shop\.chase' sleeps again and again: \d+ sleeps were skipped"
            ),
        ):
            automation.start(Chase)


class TestRunToEnd:
    def test_moves_the_clock_from_moment_to_moment(self, automation):
        run = automation.run_to_end(automation.start(Chase))

        automation.assert_completed(run, chased=2)
        assert automation.clock.now() == run.finished_at

    def test_a_run_that_waits_for_ever_is_told_with_its_story(self, automation):
        run = automation.start(Patient)

        with pytest.raises(AssertionError, match=r"Expected it to end within 366 days(?s:.*)'event:order_paid'"):
            automation.run_to_end(run)

    def test_it_goes_no_further_than_it_may(self, automation):
        run = automation.start(Chase)

        with pytest.raises(AssertionError, match="Expected it to end within 2 days"):
            automation.run_to_end(run, within=timedelta(days=2))

        assert automation.clock.now() <= run.created_at + timedelta(days=2)


class TestRecording:
    def test_tells_what_a_save_causes_and_runs_none_of_it(self, automation):
        with automation.recording() as caused:
            automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)), status="paid")

        assert caused.occurred == ["order_paid"]
        assert caused.armed == ["pickup_due"]
        assert caused.calls(note_payment)
        assert caused.calls(call_customer)
        assert caused.starts(Prepare)
        assert caused.signals == ["event:order_paid"]
        assert not Entry.objects.exists()

    def test_what_is_owed_runs_at_the_next_verb(self, automation):
        with automation.recording():
            order = Order.objects.create(status="paid")

        automation.run_until_idle()

        automation.assert_called(note_payment, about=order)

    def test_tells_which_workflows_are_started_and_enters_none(self, automation):
        with automation.recording() as caused:
            automation.start(Careful, number=1)

        assert caused.workflows == ["shop.careful"]
        assert not Entry.objects.exists()
        automation.run_until_idle()
        assert Entry.objects.count() == 2

    def test_counts_only_what_the_block_caused(self, automation):
        order = automation.save(Order(), status="paid")

        with automation.recording() as caused:
            automation.save(order)

        assert str(caused).splitlines() == [
            "occurred: none",
            "armed: none",
            "moved: none",
            "cancelled: none",
            "callbacks: none",
            "workflows: none",
            "signals: none",
        ]

    def test_tells_what_is_moved_and_what_is_called_off(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        with automation.recording() as caused:
            automation.save(order, pickup_at=order.pickup_at + timedelta(hours=1))
        assert (caused.moved, caused.armed, caused.cancelled) == (["pickup_due"], [], [])

        with automation.recording() as caused:
            automation.delete(order)
        assert (caused.moved, sorted(caused.cancelled)) == ([], ["order_paid", "pickup_due"])

    def test_what_was_saved_before_the_block_is_not_of_it(self, automation):
        order = Order.objects.create(status="paid")
        engine.start(Careful, number=1)

        with automation.recording() as caused:
            pass

        assert str(caused).count(": none") == len(str(caused).splitlines())
        automation.run_until_idle()
        automation.assert_called(note_payment, about=order)

    def test_what_is_not_caused_is_not_claimed(self, automation):
        with automation.recording() as caused:
            automation.save(Order())

        assert not caused.calls(note_payment)
        assert not caused.starts(Chase)
