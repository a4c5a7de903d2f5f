import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from automation.events.callbacks import callback_registry
from automation.events.models import Event
from automation.testing import Faults, Harness, Kind, NeverIdleError
from automation.workflows.authoring.registry import registry
from automation.workflows.core import complete, engine, event_workflow, goto, wait
from automation.workflows.errors import UnknownWorkflow
from tests.shop.automations import Careful, Chase, Invoice, Patient, Prepare, call_customer, note_payment
from tests.shop.models import Entry, Order

pytestmark = pytest.mark.django_db
MODES = [
    pytest.param({}, id="queued"),
    pytest.param({"inline": True}, id="inline"),
    pytest.param({"faults": Faults(seed=3, duplicate=0.5, reorder=True)}, id="doubled"),
]


def texts():
    return sorted(Entry.objects.values_list("text", flat=True))


@pytest.fixture(params=MODES)
def automation(request):
    with Harness(**request.param) as automation:
        yield automation


class TestVerbs:
    def test_save_lets_happen_what_follows_from_it(self, automation):
        order = automation.save(Order(), status="paid")

        automation.assert_occurred(order, "order_paid")
        automation.assert_called(note_payment, about=order)
        assert texts() == [f"paid {order.pk}"]

    def test_several_may_be_saved_together(self, automation):
        one, two = Order(), Order()

        assert automation.save(one, two, status="paid") is one
        assert len(texts()) == 2

    def test_delete_lets_happen_what_follows_from_it(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        automation.delete(order)

        automation.assert_cancelled(Prepare)

    def test_start_gives_the_run_as_it_is_when_nothing_more_is_due(self, automation):
        run = automation.start(Chase)

        assert (run.status, run.current_step) == ("waiting", "await_payment")

    def test_signal_wakes_what_waits_for_it(self, automation):
        run = automation.start(Chase)

        automation.signal("paid", {"paid": True})

        automation.assert_waiting(run, at="rest", paid=True)

    def test_an_event_wakes_a_run_that_waits_for_it(self, automation):
        run = automation.start(Patient)

        automation.save(Order(), status="paid")

        automation.assert_completed(run, seen=True)

    def test_advance_stops_at_each_due_moment_in_order(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))
        begun = automation.clock.now()

        automation.advance(hours=2, minutes=45)

        assert texts() == [f"call {order.pk}", f"packed {order.pk}"]
        assert automation.run(Prepare).finished_at == begun + timedelta(hours=2)
        automation.assert_not_occurred(order, "pickup_due")
        automation.advance(minutes=15)
        automation.assert_occurred(order, "pickup_due")
        automation.assert_called(call_customer)

    def test_one_long_step_of_the_clock_is_as_good_as_many_short_ones(self, automation):
        run = automation.start(Chase)

        automation.advance(days=365)

        stored = automation.assert_completed(run, chased=2)
        assert stored.finished_at - stored.created_at == timedelta(days=30, hours=1, seconds=2)

    def test_what_was_armed_before_the_harness_was_there_is_due_all_the_same(self, automation):
        with Harness() as earlier:
            order = earlier.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        automation.advance(hours=3)

        automation.assert_occurred(order, "pickup_due")

    def test_moving_the_clock_itself_is_the_same(self, automation):
        run = automation.start(Chase)

        automation.clock.advance(hours=1)

        automation.assert_waiting(run, at="chase")

    def test_a_plain_save_waits_for_a_verb_because_nothing_is_committed(self, automation):
        order = Order.objects.create(status="paid")
        automation.assert_not_called(note_payment)

        automation.run_until_idle()

        automation.assert_called(note_payment, about=order)

    def test_used_within_work_it_does_not_nest(self, automation):
        def work(workflow):
            automation.save(Order(), status="paid")
            automation.run_until_idle()
            return complete()

        with automation.stub_step(Chase, "await_payment", does=work):
            run = automation.start(Chase)

        automation.assert_completed(run)
        assert len(texts()) == 1


class TestFaultyQueue:
    def test_what_the_queue_loses_the_sweeps_find(self):
        with Harness() as automation:
            run = automation.start(Chase)
            automation.executor.drop()
            automation.advance(hours=1)
            automation.executor.drop()
            automation.advance(days=365)

            automation.assert_completed(run, chased=2)

    @pytest.mark.parametrize("seed", range(5))
    def test_whatever_it_does_the_outcome_is_the_same(self, seed):
        faults = Faults(seed=seed, duplicate=0.3, drop=0.3, delay=0.3, reorder=True)
        with Harness(faults=faults) as automation:
            run = automation.start(Chase)
            order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)), status="paid")
            automation.advance(days=365)

            automation.assert_completed(run, chased=2)
            assert texts() == [f"call {order.pk}", f"packed {order.pk}", f"paid {order.pk}"]


class TestQueue:
    def test_shows_what_is_queued_and_when_it_is_due(self):
        with Harness() as automation:
            run = automation.start(Chase)

            timer = next(message for message in automation.executor.pending if message.id == run.id)

            assert (timer.kind, timer.due_at) == (Kind.RUN, run.wake_at)
            assert f"run {run.id}" in str(automation.executor)

    def test_inline_has_no_queue(self):
        with Harness(inline=True) as automation:
            automation.start(Chase)

            assert automation.executor.pending == ()

    def test_single_messages_may_be_run_by_hand(self):
        with Harness() as automation:
            run = engine.start(Chase)
            automation.commit()
            assert automation.run(run).status == "ready"

            automation.executor.run_next()

            automation.assert_waiting(run)


class TestCommits:
    def test_what_is_sent_inside_a_transaction_is_queued_by_its_commit(self):
        with Harness() as automation:
            engine.start(Chase)
            assert automation.executor.pending == ()

            automation.commit()

            assert len(automation.executor.pending) == 1


class TestIdle:
    def test_a_run_that_starts_itself_for_ever_is_reported(self):
        def again(_):
            engine.start(Chase)
            return complete()

        with Harness() as automation, automation.stub_step(Chase, "await_payment", does=again):
            engine.start(Chase)

            with pytest.raises(NeverIdleError, match="something keeps starting itself"):
                automation.run_until_idle(limit=50)

    def test_a_run_that_goes_in_circles_is_named_with_its_step_soon(self):
        with (
            Harness() as automation,
            automation.stub_step(Chase, "await_payment", returns=goto("await_payment")) as stub,
        ):
            assert automation.executor.patience == 20
            automation.executor.patience = 3
            with pytest.raises(NeverIdleError) as caught:
                automation.start(Chase)

        said = str(caught.value)
        assert said.startswith(
            "Workflow 'shop.chase' goes on and on without coming to a pause, now at step 'await_paym"
        )
        assert "raise automation.executor.patience" in said
        assert re.search(r"\n  \.\.\. \d+ attempts, and then\n", said)
        assert len(said.splitlines()) < 60
        assert len(stub.entered) == 300

    def test_a_long_chain_may_be_waited_for(self):
        def count(workflow):
            workflow.context.chased += 1
            return goto("await_payment") if workflow.context.chased < 500 else complete()

        with Harness() as automation, automation.stub_step(Chase, "await_payment", does=count):
            automation.executor.patience = 2
            with pytest.raises(NeverIdleError):
                automation.start(Chase)
            automation.executor.patience = 20
            automation.run_until_idle()

            automation.assert_completed(Chase, chased=500)

    def test_a_run_that_many_others_signal_to_in_one_moment_is_no_loop(self, automation):
        def listen(workflow):
            workflow.context.chased += 1
            return wait("paid") if workflow.context.chased < 60 else complete()

        def tell(workflow):
            engine.signal("paid")
            return complete()

        with (
            automation.stub_step(Chase, "await_payment", does=listen),
            automation.stub_step(Careful, "first", does=tell),
        ):
            run = automation.start(Chase)
            for number in range(60):
                engine.start(Careful, number=number)
            automation.run_until_idle()

        automation.assert_completed(run, chased=60)


class TestLooking:
    def test_a_workflow_stands_for_its_only_run(self, automation):
        run = automation.start(Chase)

        assert automation.run(Chase).id == automation.run("shop.chase").id == automation.run(str(run.id)).id

    def test_no_run_is_said_with_the_workflows_that_have_some(self, automation):
        automation.start(Chase)

        with pytest.raises(AssertionError, match=r"There is no run of 'shop.patient'. There are runs of: shop.chase."):
            automation.run(Patient)

    def test_several_runs_are_listed(self, automation):
        one, two = automation.start(Chase), automation.start(Chase)

        with pytest.raises(AssertionError, match=r"There are 2 runs of 'shop\.chase'; say which") as caught:
            automation.run(Chase)
        assert f"{one.id} waiting" in str(caught.value)
        assert f"{two.id} waiting" in str(caught.value)

    def test_runs_are_found_by_what_they_are_about(self, automation):
        one, two = (automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3))) for _ in range(2))

        assert [run.entity.id for run in automation.runs(about=two)] == [str(two.pk)]
        assert len(automation.runs(Prepare)) == 2
        assert automation.runs(Patient, about=one) == []
        assert automation.assert_waiting(Prepare, about=two).entity.id == str(two.pk)
        with pytest.raises(
            AssertionError, match=r"There are 2 runs of 'shop.prepare'; say which one(?s:.*)about="
        ) as no:
            automation.assert_waiting(Prepare)
        assert f"about testing_shop.order:{two.pk} waiting" in str(no.value)

    def test_that_none_is_about_the_instance_is_said_with_those_there_are(self, automation):
        one, two = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3))), automation.save(Order())

        with pytest.raises(AssertionError) as no:
            automation.assert_completed(Prepare, about=two)
        assert str(no.value) == (
            f"There is no run of 'shop.prepare' about testing_shop.order:{two.pk}. "
            f"There are runs of: shop.prepare about testing_shop.order:{one.pk}.\n"
            "It is started by the event 'pickup_due' of testing_shop.order, 1:00:00 before it.\n"
            f"pickup_due of testing_shop.order:{two.pk} is PENDING\n"
            "  why: has no date"
        )

    def test_that_there_is_no_run_is_said_with_what_starts_it_and_how_that_stands(self, automation):
        order = automation.save(Order(status="paid"))

        @event_workflow("order_paid", name="shop.thank")
        class Thank(Chase):
            pass

        @event_workflow("no_such_event", name="shop.never")
        class Never(Chase):
            pass

        try:
            with pytest.raises(AssertionError) as no:
                automation.run(Thank, about=order)
            assert f"order_paid of testing_shop.order:{order.pk} is OCCURRED" in str(no.value)
            assert "Its condition holds for " in str(no.value)
            order.status = "new"
            with pytest.raises(AssertionError, match="Its condition does not hold for "):
                automation.run(Thank, about=order)
            with pytest.raises(AssertionError, match="is OCCURRED"):
                automation.run(Thank)
            with pytest.raises(AssertionError, match="'no_such_event' of a model, but none declares it"):
                automation.run(Never)
        finally:
            for name in ("shop.thank", "shop.never"):
                registry.unregister(registry.newest(name))

    def test_an_unknown_event_is_answered_with_those_that_exist(self, automation):
        order = automation.save(Order())

        with pytest.raises(
            ValueError,
            match=r"no event 'order_piad'\. Did you mean 'order_paid'\? There is: order_paid, pickup_due\.",
        ):
            automation.event(order, "order_piad")

    def test_an_event_that_an_unsaved_instance_cannot_have_yet_is_answered_with_what_is_missing(self, automation):
        with pytest.raises(AssertionError, match=r"It has none; is it saved"):
            automation.event(Order(), "order_paid")


class TestTypos:
    """A name that nothing has would make a claim hold, whatever happens."""

    def test_a_field_that_is_none_is_not_saved(self, automation):
        with pytest.raises(ValueError, match=r"Order has no attribute 'statsu' to save\. Did you mean 'status'\?"):
            automation.save(Order(), statsu="paid")

    def test_a_hint_to_receivers_is_let_through(self, automation):
        assert automation.save(Order(), _history_user="ada").pk

    def test_an_event_that_is_not_declared_has_not_not_occurred(self, automation):
        with pytest.raises(ValueError, match="Did you mean 'pickup_due'"):
            automation.assert_not_occurred(automation.save(Order()), "pikcup_due")

    @pytest.mark.parametrize("ask", ["assert_no_run", "runs", "run"])
    def test_a_workflow_that_is_not_registered_has_not_no_run(self, automation, ask):
        with pytest.raises(UnknownWorkflow, match=r"Did you mean 'shop\.chase'"):
            getattr(automation, ask)("shop.chaes")

    def test_a_callback_that_is_not_registered_was_not_not_called(self, automation):
        with pytest.raises(
            ValueError, match=r"No callback is registered as 'tests.shop.automations.note_paymnt'\. Did"
        ):
            automation.assert_not_called("tests.shop.automations.note_paymnt")
        with pytest.raises(ValueError, match=r"No callback is registered as 'datetime\.timedelta'"):
            automation.assert_called(timedelta, times=0)

    def test_a_field_that_the_context_does_not_have_is_not_none(self, automation):
        with pytest.raises(ValueError, match=r"Context of 'shop\.chase' has no field 'chsaed'\. Did you mean 'chased'"):
            automation.assert_waiting(automation.start(Chase), chsaed=None)

    def test_a_context_that_is_not_there_yet_has_no_value_at_all(self, automation):
        automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        with pytest.raises(AssertionError, match=r"Expected on its Context: \{'order_id': None\}"):
            automation.assert_waiting(Prepare, order_id=None)

    def test_a_recording_does_not_deny_what_is_nowhere(self, automation):
        with automation.recording() as caused:
            automation.save(Order())

        with pytest.raises(UnknownWorkflow):
            caused.starts("shop.chaes")
        with pytest.raises(ValueError, match="No callback is registered"):
            caused.calls("note_payment")


class TestClaims:
    def test_a_claim_that_does_not_hold_shows_the_story_and_why_it_waits(self, automation):
        run = automation.start(Chase)

        with pytest.raises(AssertionError) as caught:
            automation.assert_completed(run)

        said = str(caught.value)
        assert said.startswith(f"Expected it to be COMPLETED.\nshop.chase {run.id} is WAITING at step 'await_payment'")
        assert "waits for the signal 'paid'" in said
        assert "until 2030-01-07 10:00:00 UTC (in 1:00:00), then goes to chase" in said
        assert "2030-01-07 09:00:00  await_payment: wait" in said
        assert "It is 2030-01-07 09:00:00 UTC, and in the queue:\n  " in said

    def test_a_retry_is_told_with_its_error(self, automation):
        run = automation.start(Chase)
        automation.advance(hours=1)

        story = automation.timeline(run)

        assert re.search(r"chase: retry .*line is busy", story)
        automation.advance(seconds=2)
        assert "chase (attempt 2): goto rest" in automation.timeline(run)

    def test_what_woke_a_run_is_told_with_what_was_left_out(self, automation):
        run = automation.start(Chase)
        automation.signal("paid", {"paid": "perhaps", "foo": 1, "chased": 0})

        story = automation.timeline(run)

        assert "woken by signal 'paid', left out: foo (the Context has no such field), paid (" in story
        assert "again" not in story

    def test_a_step_that_waits_again_for_what_has_just_woken_it_is_told_what_to_write(self, automation):
        run = automation.start(Chase)
        automation.signal("paid")

        with pytest.raises(AssertionError) as caught:
            automation.assert_completed(run)

        assert "woken by signal 'paid'\n  and waits for 'paid' again" in str(caught.value)
        assert "wait('paid', then=self.next_step)" in str(caught.value)

    def test_signals_that_nobody_took_are_told_to_who_waits(self, automation):
        run = automation.start(Chase)
        automation.signal("payed", {"paid": True})
        automation.signal("paid", {"paid": True}, run_id=automation.start(Careful, number=1).id)

        story = automation.timeline(run)
        assert "nobody took signal 'payed', sent at 2030-01-07 09:00:00" in story
        assert "nobody took signal 'paid' to run " in story

        automation.signal("paid", {"paid": True})
        assert "nobody took" not in automation.timeline(run)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"at": "chase"}, "Expected it to wait at step 'chase'"),
            ({"for_signal": "money"}, "Expected it to wait for 'money'"),
            ({"for_event": "order_paid"}, "Expected it to wait for 'event:order_paid'"),
            ({"until": "2030-01-07T11:00:00+00:00"}, "Expected it to wait until 2030-01-07 11:00:00"),
            ({"paid": True}, "Expected on its Context: {'paid': True}"),
        ],
        ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
    )
    def test_each_part_of_a_wait_is_compared(self, automation, wrong, message):
        run = automation.start(Chase)
        right = {"at": "await_payment", "for_signal": "paid", "until": "2030-01-07T10:00+00:00", "paid": False}
        automation.assert_waiting(run, **right)

        with pytest.raises(AssertionError, match=re.escape(message)):
            automation.assert_waiting(run, **wrong)

    def test_values_are_compared_as_the_context_has_them_or_as_they_are_stored(self, automation):
        due = datetime(2030, 5, 1, tzinfo=UTC)
        run = automation.start(Invoice, due=due)

        automation.assert_completed(run, due=due, amount=Decimal("10.50"))
        automation.assert_completed(run, due="2030-05-01T00:00:00Z", amount="10.50")
        with pytest.raises(AssertionError, match=r"Expected on its Context: \{'amount': Decimal\('10\.51'\)\}"):
            automation.assert_completed(run, due=due, amount=Decimal("10.51"))

    def test_failed_compares_the_error(self, automation):
        with automation.stub_step(Chase, "await_payment", raises=LookupError("no such customer")):
            run = automation.start(Chase)
            automation.advance(minutes=1)

        automation.assert_failed(run, match="no such customer")
        with pytest.raises(AssertionError, match="Expected an error that matches 'out of stock'"):
            automation.assert_failed(run, match="out of stock")

    def test_paused_and_cancelled(self, automation):
        run = automation.start(Chase)

        engine.pause(run.id)
        automation.assert_paused(run)
        engine.cancel(run.id)
        automation.assert_cancelled(run)

    def test_no_run_shows_the_one_there_is(self, automation):
        automation.assert_no_run(Chase)
        run = automation.start(Chase)

        with pytest.raises(AssertionError, match=rf"no such run\.\nshop.chase {run.id}"):
            automation.assert_no_run(Chase)

    def test_pending_compares_the_date(self, automation):
        at = timezone.now() + timedelta(hours=3)
        order = automation.save(Order(pickup_at=at))

        automation.assert_pending(order, "pickup_due", at=at)
        with pytest.raises(AssertionError, match=r"Expected it at .*\npickup_due of testing_shop.order"):
            automation.assert_pending(order, "pickup_due", at=at + timedelta(hours=1))

    def test_occurred_tells_how_the_event_stands(self, automation):
        order = automation.save(Order())

        with pytest.raises(AssertionError, match=r"Expected 'order_paid' to be OCCURRED 1 time\(s\)\.\norder_paid of"):
            automation.assert_occurred(order, "order_paid")

    def test_called_lists_what_is_owed(self, automation):
        with pytest.raises(
            AssertionError, match=r"(?s)Expected 1 call\(s\) of .*note_payment.* there were 0.*\n  none"
        ):
            automation.assert_called(note_payment)

    def test_that_a_verb_was_forgotten_is_said(self, automation):
        order = Order.objects.create(status="paid")

        with pytest.raises(AssertionError, match=r"1 hook\(s\) wait for a commit: .*automation.run_until_idle\(\)"):
            automation.assert_called(note_payment, about=order)

        automation.run_until_idle()
        with pytest.raises(AssertionError) as caught:
            automation.assert_not_called(note_payment, about=order)
        assert "wait for a commit" not in str(caught.value)

    def test_called_tells_when_a_call_is_due_and_why_it_was_not_made(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        with pytest.raises(AssertionError) as caught:
            automation.assert_called(call_customer)

        assert (
            f"\n  for pickup_due of testing_shop.order:{order.pk} is PENDING, "
            "next at 2030-01-07 11:30:00 UTC (in 2:30:00)\n"
            "It is 2030-01-07 09:00:00 UTC, and in the queue:\n"
        ) in str(caught.value)

    def test_called_tells_what_a_call_that_failed_has_raised(self, automation):
        def fail(event):
            raise LookupError("no such customer")

        callback_registry.register(fail, "order_paid", name="shop.fail")
        try:
            automation.save(Order(), status="paid")
            with pytest.raises(AssertionError, match=r"is PENDING, tried 1 time\(s\), next at .*no such customer"):
                automation.assert_called("shop.fail")
        finally:
            callback_registry.unregister("shop.fail")


class TestBeingLeft:
    def test_everything_is_as_before(self):
        from automation.events.ports import wiring as events
        from automation.workflows.ports import wiring as workflows

        before = (events.clock, events.dispatcher, workflows.clock, workflows.executor, workflows.storage)
        with Harness():
            assert events.dispatcher is workflows.executor is not None
        assert (events.clock, events.dispatcher, workflows.clock, workflows.executor, workflows.storage) == before
        assert datetime.now(UTC).year < 2030

    def test_it_decorates_a_function(self):
        @Harness(at="2040-01-01T00:00+00:00")
        def story(automation):
            automation.save(Order(), status="paid")
            return Event.objects.get(event_name="order_paid").occurred_at

        assert story().year == 2040
