"""A worker dies at each point where it can, and the story must end alike."""

from contextlib import ExitStack
from datetime import timedelta
from secrets import token_hex
from uuid import uuid4

import pytest
from django.core import mail
from django.utils import timezone

from automation.events.callbacks import callback_registry
from automation.testing import Harness, UnsafeStepError
from automation.testing.crashes import CrashPoint, Passage, explain, points
from automation.workflows.core import complete, engine, get_wake
from tests.shop import automations
from tests.shop.automations import Careful, Careless, Chase, Hasty, Patient, Prepare, note_payment
from tests.shop.models import Entry, Order

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_posted():
    automations.outside.clear()


def texts():
    return sorted(Entry.objects.values_list("text", flat=True))


class TestEveryCrashPoint:
    def test_steps_that_write_to_the_database_are_safe(self, automation):
        def story():
            run = automation.start(Careful, number=1)
            automation.advance(minutes=5)
            automation.assert_completed(run)
            return texts()

        assert automation.at_every_crash_point(story) >= 15

    @pytest.mark.automation(inline=True)
    def test_without_a_queue_the_story_is_told_with_one(self, automation):
        def story():
            automation.assert_completed(automation.start(Careless, number=1))

        assert automation.at_every_crash_point(story) >= 8

    def test_a_step_that_posts_a_letter_is_named_with_the_remedy(self, automation):
        def story():
            automations.outside.clear()
            automation.start(Careless, number=1)
            return list(automations.outside)

        with pytest.raises(UnsafeStepError) as caught:
            automation.at_every_crash_point(story)

        said = str(caught.value)
        assert said.startswith("Step 'post_letter' of 'shop.careless' is not safe to repeat.")
        assert "'prepare'" not in said.splitlines()[0] + said.splitlines()[1]
        assert "\nThe story was told with 12 deaths of a worker, one at a time; after 3 it ended otherwise.\n" in said
        assert (
            "\nThe code had run and its result was not stored yet when the worker was killed (step.after_body),\n"
            "so step 'post_letter' of 'shop.careless' was run again:\n"
            "  returned: ['letter 1', 'letter 1']\n"
            "            instead of ['letter 1']\n"
        ) in said
        assert "get_wake().idempotency_key" in said
        assert "event.pk" not in said

    def test_one_that_asks_first_is_safe(self, automation):
        def story():
            posted = {}

            def post(workflow):
                posted[get_wake().idempotency_key] = f"letter {workflow.context.number}"
                return complete()

            with automation.stub_step(Careless, "post_letter", does=post):
                automation.start(Careless, number=1)
            return list(posted.values())

        automation.at_every_crash_point(story)

    def test_mails_are_compared_without_being_asked_for(self, automation):
        def post(workflow):
            mail.send_mail("Your letter", "", None, ["ada@example.com"])
            return complete()

        def story():
            with automation.stub_step(Careless, "post_letter", does=post):
                automation.start(Careless, number=1)

        with pytest.raises(UnsafeStepError, match=r"mails: \['Your letter to ada@example.com', 'Your letter to ada"):
            automation.at_every_crash_point(story)
        assert mail.outbox == []

    def test_the_times_of_the_story_stay_true(self, automation):
        def story():
            run = automation.start(Chase)
            automation.advance(hours=1, seconds=2)
            automation.advance(days=30)
            return automation.assert_completed(run, chased=2).finished_at

        assert automation.at_every_crash_point(story) >= 20

    def test_callbacks_are_watched_too(self, automation):
        def story():
            order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)), status="paid")
            automation.advance_to(order.pickup_at)
            automation.assert_completed(Prepare)
            return len(texts())

        assert automation.at_every_crash_point(story) >= 8

    def test_a_callback_that_posts_a_letter_is_found(self, automation):
        def post(event):
            automations.outside.append("letter")

        callback_registry.register(post, "pickup_due", name="shop.post", offset=timedelta(minutes=-10), background=True)
        try:

            def story():
                automations.outside.clear()
                order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))
                automation.advance_to(order.pickup_at)
                return list(automations.outside)

            with pytest.raises(
                UnsafeStepError, match=r"(?s)^Callback 'shop.post' is not safe.*\['letter', 'letter'\]"
            ) as no:
                automation.at_every_crash_point(story)
            assert "event.pk is the same each time a callback is repeated" in str(no.value)
            assert "idempotency_key" not in str(no.value)
        finally:
            callback_registry.unregister("shop.post")

    def test_a_callback_right_after_the_commit_is_watched_as_well(self, automation):
        def post(event):
            automations.outside.append("letter")

        def story():
            automations.outside.clear()
            automation.save(Order(), status="paid")
            return list(automations.outside)

        callback_registry.register(post, "order_paid", name="shop.post_at_once")
        try:
            with pytest.raises(UnsafeStepError, match=r"^Callback 'shop.post_at_once' is not safe to repeat"):
                automation.at_every_crash_point(story)
        finally:
            callback_registry.unregister("shop.post_at_once")

    def test_an_error_of_the_story_after_a_death_is_told_with_the_point(self, automation):
        def story():
            automations.outside.clear()
            automation.start(Careless, number=1)
            return {1: "fine"}[len(automations.outside)]

        with pytest.raises(UnsafeStepError, match="KeyError: 2"):
            automation.at_every_crash_point(story)

    def test_a_death_that_repeats_no_code_accuses_no_step(self):
        point = CrashPoint(name="claim.after_commit", place="step 'a' of 'b'")

        said = explain([(point, "returned: 1\n          instead of 2")], 5)

        assert said == (
            "The story was told with 5 deaths of a worker, one at a time; after 1 it ended otherwise.\n\n"
            "The worker was killed in step 'a' of 'b', at claim.after_commit:\n"
            "  returned: 1\n            instead of 2\n\n"
            "It ends otherwise where no code was run twice, so no step is accused. Does the story rely on what is lost "
            "with a worker,\nsuch as its memory, or tell what a death itself changes, such as the number of tries?"
        )

    def test_of_many_places_the_first_three_are_told(self):
        points = [CrashPoint(name="step.after_body", place=f"step {number} of 'b'") for number in range(5)]

        said = explain([(point, "returned: 1") for point in points], 5)

        assert said.count("  returned: 1\n") == 3
        assert "\n\n... and 2 more places like these.\n" in said

    def test_ordered_deaths_are_not_logged_and_what_the_story_itself_logs_is(self, automation, caplog):
        def story():
            with automation.stub_step(Careful, "first", raises=RuntimeError("once")):
                automation.start(Careful, number=1)

        automation.at_every_crash_point(story)

        assert not [record for record in caplog.records if "Lost" in record.getMessage()]
        assert [record for record in caplog.records if "at first: " in record.getMessage()]

    def test_an_assertion_of_the_story_that_fails_after_a_death_is_told_with_the_point(self, automation):
        def story():
            automations.outside.clear()
            automation.start(Careless, number=1)
            assert automations.outside == ["letter 1"], "one letter, please"

        with pytest.raises(UnsafeStepError, match="one letter, please"):
            automation.at_every_crash_point(story)

    def test_a_story_that_fails_undisturbed_fails_as_itself(self, automation):
        def story():
            run = automation.start(Chase)
            automation.assert_completed(run)

        with pytest.raises(AssertionError, match=r"^Expected it to be COMPLETED") as caught:
            automation.at_every_crash_point(story)
        assert not isinstance(caught.value, UnsafeStepError)

    def test_a_bank_that_is_asked_with_keys_is_asked_alike_in_each_telling(self, automation):
        def story():
            charged = {}

            def charge(workflow):
                charged[get_wake().idempotency_key] = workflow.context.number
                return complete()

            with automation.stub_step(Careless, "post_letter", does=charge):
                automation.start(Careless, number=1)
                automation.start(Careless, number=1)
            return sorted(charged.items())

        assert automation.at_every_crash_point(story) > 0

    def test_a_key_that_is_new_at_each_try_is_found(self, automation):
        def story():
            charged = {}

            def charge(workflow):
                charged[uuid4()] = workflow.context.number
                return complete()

            with automation.stub_step(Careless, "post_letter", does=charge):
                automation.start(Careless, number=1)
            return charged

        with pytest.raises(UnsafeStepError, match=r"^Step 'post_letter' .*\n(.*\n)*  returned: .*key 1.*key 2"):
            automation.at_every_crash_point(story)

    @pytest.mark.parametrize("tells", ["a list made outside", "an assertion about a list made outside"])
    def test_a_story_that_never_ends_alike_accuses_nobody(self, automation, tells):
        posted = []

        def story():
            run = automation.start(Careful, number=1)
            posted.append(run)
            if tells == "an assertion about a list made outside":
                assert len(posted) == 1, "just one, please"
            return len(posted)

        with pytest.raises(
            AssertionError, match=r"^The story ends differently each time it is told, with no death"
        ) as no:
            automation.at_every_crash_point(story)
        assert not isinstance(no.value, UnsafeStepError)
        assert "Make its fakes (lists, mocks, a bank) inside the story" in str(no.value)

    def test_where_an_object_lies_is_no_difference(self, automation):
        """Python gives an address again, or another one, as it happens."""
        lying = []

        def story():
            automation.start(Careful, number=1)
            lying.append(object())
            return lying[-1]

        assert automation.at_every_crash_point(story) > 0

    def test_a_story_may_return_rows(self, automation):
        def story():
            automation.start(Careful, number=1)
            return Entry.objects.values_list("text")

        assert automation.at_every_crash_point(story) > 0

    def test_a_story_that_tells_of_the_deaths_themselves_accuses_no_step(self, automation):
        def story():
            return automation.start(Careful, number=1).revision

        with pytest.raises(UnsafeStepError, match=r"^The story was told with") as caught:
            automation.at_every_crash_point(story)
        assert "no step is accused" in str(caught.value)

    def test_a_row_written_twice_is_noticed_without_being_returned(self, automation):
        with pytest.raises(UnsafeStepError, match=r"^Step 'write' of 'shop.hasty' is not safe") as caught:
            automation.at_every_crash_point(lambda: automation.assert_completed(automation.start(Hasty)) and None)

        said = str(caught.value)
        assert "\n  rows of testing_shop.entry: 2\n                              instead of 1" in said
        assert "\n  Context of shop.hasty, written: 2\n" in said
        assert "With atomic=False\nthere is no transaction around it: what it had written to the database stays" in said
        assert "\n- Leave atomic=False out, where all that it does is done in the database.\n" in said

    def test_rows_that_tell_of_tries_can_be_left_out(self, automation):
        def story():
            automation.start(Hasty)

        contexts = [f"Context of shop.hasty, {field}" for field in ("entry", "written")]
        assert automation.at_every_crash_point(story, ignore=["rows of testing_shop.entry", *contexts]) > 0

    def test_what_each_telling_puts_anew_on_a_context_is_not_compared(self, automation):
        def write(workflow):
            workflow.context.note = token_hex()
            return complete()

        def story():
            with automation.stub_step(Hasty, "write", does=write):
                automation.start(Hasty)

        assert automation.at_every_crash_point(story) > 0

    def test_a_name_that_is_compared_nowhere_cannot_be_left_out(self, automation):
        with pytest.raises(ValueError, match=r"ignore=\['rows of entry'\]: nothing is compared .*testing_shop\.entry"):
            automation.at_every_crash_point(lambda: automation.start(Hasty) and None, ignore=["rows of entry"])

    def test_a_callback_that_is_not_atomic_is_told_so(self, automation):
        callback_registry.register(
            lambda event: Entry.objects.create(text="hasty"), "order_paid", name="shop.hasty_note", atomic=False
        )
        try:
            with pytest.raises(UnsafeStepError, match=r"(?s)^Callback 'shop.hasty_note' is .*- Leave atomic=False out"):
                automation.at_every_crash_point(lambda: automation.save(Order(), status="paid") and None)
        finally:
            callback_registry.unregister("shop.hasty_note")

    def test_each_telling_is_undone(self, automation):
        began = automation.clock.now()

        def story():
            automation.save(Order(), status="paid")
            automation.advance(minutes=1)
            return Entry.objects.count()

        assert automation.at_every_crash_point(story) > 0

        assert not Entry.objects.exists()
        assert not Order.objects.exists()
        assert automation.clock.now() == began
        assert automation.executor.pending == ()

    def test_it_begins_at_the_present_state(self, automation):
        order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)))

        def story():
            automation.advance_to(order.pickup_at)
            automation.assert_completed(Prepare)

        automation.at_every_crash_point(story)

        automation.assert_waiting(Prepare)

    @pytest.mark.django_db(transaction=True)
    def test_it_works_where_commits_are_real(self, automation):
        def story():
            order = automation.save(Order(), status="paid")
            automation.assert_called(note_payment, about=order)
            return len(texts())

        assert automation.at_every_crash_point(story) > 0

        assert not Order.objects.exists()


class TestPoints:
    def test_stories_of_this_suite_pass_every_point_that_a_worker_can_die_at(self, automation):
        passage = Passage(is_at_work=automation._is_at_work)
        tries = iter([OSError("the line is busy")])

        def call_at_the_second_try(event):
            for error in tries:
                raise error

        callback_registry.register(call_at_the_second_try, "order_paid", name="shop.second_try")
        with ExitStack() as stack:
            stack.callback(callback_registry.unregister, "shop.second_try")
            stack.enter_context(passage.watched())
            order = automation.save(Order(pickup_at=timezone.now() + timedelta(hours=3)), status="paid")
            automation.start(Chase)
            automation.start(Careful, number=1)
            automation.start(Patient)
            engine.start(Chase)
            automation.commit()
            automation.executor.drop()
            automation.save(order)
            automation.advance(days=40)

        # `start.before_commit` is passed by whoever starts a run: a process of the user, not a worker.
        assert passage.names == set(points()) - {"start.before_commit"}


class TestOneDeath:
    def test_a_process_that_dies_right_after_its_commit_leaves_the_call_to_the_sweep(self, automation):
        with automation.worker_dies("callback.after_body"):
            order = automation.save(Order(), status="paid")

        assert automation.executor.deaths == 1
        automation.assert_not_called(note_payment)
        automation.advance(minutes=10)
        automation.assert_called(note_payment, about=order, times=1)
        assert texts() == [f"paid {order.pk}"]

    @pytest.mark.automation(inline=True)
    def test_without_a_queue_a_worker_can_be_made_to_die_all_the_same(self, automation):
        with automation.worker_dies("finish.before_commit"):
            run = automation.start(Careful, number=1)

        assert automation.run(run).status == "running"

    def test_the_claim_of_the_dead_is_over_after_some_minutes(self):
        with Harness() as automation:
            with automation.worker_dies("finish.before_commit"):
                run = automation.start(Careful, number=1)

            assert automation.executor.deaths == 1
            assert automation.run(run).status == "running"
            assert texts() == []
            automation.advance(minutes=10)
            automation.assert_completed(run)
            assert texts() == ["first 1", "second 1", "third 1"]

    def test_the_second_to_pass_may_be_the_one_to_die(self):
        with Harness() as automation, automation.worker_dies("finish.before_commit", time=2):
            automation.start(Careful, number=1)

            assert texts() == ["first 1"]

    def test_a_run_that_kills_every_worker_ends_failed(self):
        with Harness() as automation:
            with automation.worker_dies("step.after_body", time=None):
                run = automation.start(Careful, number=1)
                automation.advance(hours=1)

            automation.assert_failed(run)
            assert texts() == []

    def test_an_unknown_point_is_refused(self, automation):
        refusal = r"'nowhere' is not a point where a worker can die\. Points: start\.before_commit"
        with pytest.raises(ValueError, match=refusal), automation.worker_dies("nowhere"):
            pass

    @pytest.mark.parametrize(("time", "passed"), [(9, 2), (None, 0)])
    def test_a_death_that_never_came_is_told(self, automation, time, passed):
        point = "finish.before_commit" if passed else "callback.after_body"
        told = rf"No worker died: '{point}' was passed {passed} times in the block, .* for time {time or 1} was to die"

        with pytest.raises(AssertionError, match=told), automation.worker_dies(point, time=time):
            automation.start(Careful, number=1)

    def test_what_the_block_raises_itself_is_what_the_test_sees(self, automation):
        with pytest.raises(KeyError), automation.worker_dies("finish.before_commit"):
            raise KeyError("the test's own")
