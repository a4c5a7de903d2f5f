"""Section 4: waiting, timeouts, retries and signals, with the guide's own workflow."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pydantic import BaseModel

from automation.workflows.core import complete, engine, get_context, goto, sleep, step, wait, workflow
from automation.workflows.models import WorkflowRun
from tests.guide.bookings.automations.advanced import CheckoutOpsWF
from tests.guide.bookings.models import Stay
from tests.guide.page import execute

pytestmark = pytest.mark.django_db
TWO_HOURS = timedelta(hours=2)
NOTIFIED = ["notify_housekeeping", "notify_housekeeping", "finalize"]
"""The steps from the notification on: it fails once, as in the guide."""


def steps_of(run):
    return list(WorkflowRun.objects.get(pk=run.id).attempts.values_list("step", flat=True))


@pytest.fixture
def stay(automation):
    """Return a stay whose workflow has just begun: two hours before the checkout."""
    stay = automation.save(Stay(checkout_at=timezone.now() + timedelta(hours=10)))
    automation.advance_to(stay.checkout_at - TWO_HOURS)
    return stay


class TestTheGuidesWorkflow:
    def test_it_begins_two_hours_before_the_checkout_and_waits_for_the_documents(self, automation, stay):
        automation.assert_waiting(
            CheckoutOpsWF,
            at="await_docs",
            for_event="guest_docs_uploaded",
            until=stay.checkout_at - TWO_HOURS + timedelta(minutes=90),
            reservation_id=stay.pk,
        )

    def test_it_completes_when_the_documents_never_come(self, automation, stay):
        automation.advance(minutes=89)
        automation.assert_waiting(CheckoutOpsWF)

        automation.advance(minutes=2)

        automation.assert_completed(CheckoutOpsWF, final_state="ok", notified=True)
        assert "fallback_docs" in automation.timeline(CheckoutOpsWF)

    def test_changes_to_the_context_made_before_a_raise_survive_it(self, automation, stay):
        automation.advance(minutes=90)
        automation.assert_waiting(CheckoutOpsWF, at="notify_housekeeping", attempts=1, notified=False)

        automation.advance(seconds=1)

        automation.assert_completed(CheckoutOpsWF, attempts=2)

    def test_the_documents_of_this_stay_wake_it_and_their_payload_merges(self, automation, stay):
        automation.save(stay, docs_uploaded=True)
        automation.advance(seconds=1)

        run = automation.assert_completed(CheckoutOpsWF, docs_ready=True, final_state="ok")
        assert "pages" not in run.data
        assert steps_of(run) == ["await_docs", "await_docs", *NOTIFIED]

    def test_the_documents_of_another_stay_do_not(self, automation, stay):
        other = automation.save(Stay(docs_uploaded=True))

        automation.assert_occurred(other, "guest_docs_uploaded")
        automation.assert_waiting(CheckoutOpsWF, at="await_docs", docs_ready=False)

        automation.advance(minutes=91)
        assert steps_of(automation.assert_completed(CheckoutOpsWF)) == ["await_docs", "fallback_docs", *NOTIFIED]

    def test_documents_uploaded_before_the_run_began_are_not_lost(self, automation):
        stay = automation.save(Stay(checkout_at=timezone.now() + timedelta(hours=10)))
        automation.save(stay, docs_uploaded=True)

        automation.advance_to(stay.checkout_at)

        automation.assert_completed(CheckoutOpsWF, final_state="ok")

    def test_it_fails_by_its_own_judgement_when_nobody_was_notified(self, automation, stay):
        with automation.stub_step(CheckoutOpsWF, "notify_housekeeping", returns=goto("finalize")):
            automation.advance(minutes=90)

        automation.assert_failed(CheckoutOpsWF, match="^Housekeeping was not notified")

    def test_the_retry_of_the_step_stands_before_that_of_the_workflow(self, automation, stay):
        with automation.stub_step(CheckoutOpsWF, "notify_housekeeping", raises=RuntimeError("no")) as stub:
            automation.advance(days=1)

        automation.assert_failed(CheckoutOpsWF, match="RuntimeError: no")
        assert len(stub.entered) == 5

    def test_the_retry_of_the_workflow_holds_for_its_other_steps(self, automation, stay):
        with automation.stub_step(CheckoutOpsWF, "fallback_docs", raises=RuntimeError("no")) as stub:
            automation.advance(days=1)

        automation.assert_failed(CheckoutOpsWF)
        assert len(stub.entered) == 3

    def test_its_step_that_waits_for_a_signal_is_woken_by_the_block_that_emits_it(self, automation, stay):
        with automation.stub_step(CheckoutOpsWF, "fallback_docs", returns=goto("pause_until_ops_window")):
            automation.advance(minutes=90)
        automation.assert_waiting(CheckoutOpsWF, for_signal="ops:window_open")

        execute("signals", {})
        automation.run_until_idle()

        assert steps_of(automation.run(CheckoutOpsWF)).count("pause_until_ops_window") == 3


@workflow("guide.ops_window")
class OpsWindow:
    """Waits as the cheatsheet shows it; the signals block of the guide wakes it and sends `{"foo": 1}`."""

    class Context(BaseModel):
        foo: int = 0
        timed_out: bool = False

    @step(start=True)
    def pause(self):
        return wait("ops:window_open", timeout=timedelta(hours=1), on_timeout=self.too_late, then="opened")

    @step()
    def too_late(self):
        get_context().timed_out = True
        return complete()

    @step()
    def opened(self):
        if self.context.foo:
            return complete()
        return wait.for_signal("ops:window_open")


class TestSignals:
    def test_the_block_wakes_the_wait_and_its_payload_merges(self, automation):
        run = automation.start("guide.ops_window")
        automation.assert_waiting(run, for_signal="ops:window_open")

        execute("signals", {})
        automation.run_until_idle()

        automation.assert_completed(run, foo=1)

    def test_keys_that_the_context_does_not_declare_are_left_out(self, automation):
        run = automation.start(OpsWindow)

        automation.signal("ops:window_open", {"foo": 2, "bar": 3})

        assert automation.context(run) == {"foo": 2, "timed_out": False}

    def test_the_timeout_is_reached_by_moving_the_clock(self, automation):
        run = automation.start(OpsWindow)

        automation.advance(minutes=59)
        automation.assert_waiting(run)
        automation.advance(minutes=1)

        automation.assert_completed(run, timed_out=True)

    def test_a_name_that_begins_with_event_is_for_events_alone(self):
        with pytest.raises(ValueError, match="event:"):
            engine.signal("event:guest_docs_uploaded", {})


@workflow("guide.sleeper")
class Sleeper:
    class Context(BaseModel):
        naps: int = 0

    @step(start=True)
    def nap(self):
        self.context.naps += 1
        if self.context.naps < 3:
            return sleep(timedelta(days=100))
        return sleep(timedelta(days=65), then=self.awake)

    @step()
    def awake(self):
        return complete()


class TestSleep:
    def test_a_year_of_sleep_passes_by_moving_the_clock(self, automation):
        run = automation.start(Sleeper)

        automation.advance(days=264)
        automation.assert_waiting(run, naps=3)
        automation.advance(days=1)

        automation.assert_completed(run)
