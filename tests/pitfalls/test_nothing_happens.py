"""Symptom: it should have happened, and nothing did."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from automation.events.models import Event
from automation.testing import FakeClock
from automation.workflows.core import engine
from tests.pitfalls.inn.automations import (
    AwaitPapers,
    Clumsy,
    Cook,
    Counter,
    Porter,
    Prepare,
    Strict,
    Waiter,
    tear_up,
    welcome,
)
from tests.pitfalls.inn.models import Bell, Booking, Note, Riddle, Room

pytestmark = pytest.mark.django_db


def booking(hours=5, **fields):
    return Booking(**{"arrives_at": timezone.now() + timedelta(hours=hours), "status": "confirmed", **fields})


def texts():
    return list(Note.objects.order_by("pk").values_list("text", flat=True))


class TestEvents:
    @pytest.mark.django_db(transaction=True)
    def test_an_immediate_event_occurs_right_after_a_real_commit_and_before_any_poll(self, automation):
        with transaction.atomic():
            one = booking()
            one.save()

        automation.assert_occurred(one, "booking_confirmed")
        automation.assert_called(welcome, about=one)

    def test_a_poll_does_not_trip_over_keys_that_are_no_numbers(self, automation):
        room = automation.save(Room(free_at=timezone.now() + timedelta(hours=1)))
        one = automation.save(booking(hours=1))

        automation.advance(hours=1)

        automation.assert_occurred(room, "room_free")
        automation.assert_occurred(one, "arrival_due")

    @pytest.mark.parametrize("days", [1, 3, 40])
    def test_an_outage_of_days_loses_no_event(self, automation, days):
        one = automation.save(booking())
        automation.executor.drop()

        automation.clock.jump(days=days)
        automation.run_until_idle()

        automation.assert_occurred(one, "arrival_due")
        automation.assert_completed(Prepare)

    def test_a_condition_that_turns_true_long_after_the_date_still_counts(self, automation):
        one = automation.save(booking(status="asked"))
        automation.advance(days=3)
        automation.assert_not_occurred(one, "arrival_due")

        automation.save(one, status="confirmed")

        automation.assert_occurred(one, "arrival_due")

    def test_an_event_that_occurred_is_armed_again_by_a_later_date(self, automation):
        one = automation.save(booking())
        automation.advance(hours=5)

        automation.save(one, arrives_at=timezone.now() + timedelta(days=7))
        automation.advance(days=7)

        automation.assert_occurred(one, "arrival_due", times=2)
        assert len(automation.runs(Prepare)) == 2

    def test_an_object_that_its_manager_hides_is_an_object_all_the_same(self, automation):
        room = automation.save(Room(free_at=timezone.now() + timedelta(hours=1), gone=True))

        automation.advance(hours=1)

        automation.assert_occurred(room, "room_free")
        assert texts() == [f"clean {room.pk}"]

    def test_deleting_cancels_and_tells(self, automation):
        one = automation.save(booking())
        key = one.pk

        automation.delete(one)

        automation.assert_called(tear_up)
        assert f"torn {key}" in texts()

    def test_a_bell_rings_each_time_it_is_pulled_anew(self, automation):
        bell = automation.save(Bell())
        for pulled in (True, True, False, True):
            automation.save(bell, pulled=pulled)

        assert texts() == [f"ring {bell.pk}"] * 2

    def test_rows_written_behind_our_back_are_found_by_sync(self, automation):
        Booking.objects.bulk_create([booking(), booking()])

        Event.objects.sync(Booking.objects.all())
        automation.run_until_idle()
        automation.advance(hours=5)

        assert len(automation.runs(Prepare)) == 2
        assert sorted(text.split()[0] for text in texts()).count("heated") == 2

    def test_a_condition_that_raises_is_not_silently_false(self, automation):
        riddle = automation.save(Riddle())

        parked = automation.assert_pending(riddle, "riddle_solved")
        assert "AttributeError" in parked.error
        automation.assert_occurred(riddle, "riddle_told")

        automation.save(riddle, answer="egg")
        automation.assert_occurred(riddle, "riddle_solved")

    def test_the_command_that_processes_events_processes_them(self, automation):
        one = automation.save(booking())
        automation.clock.jump(hours=5)

        call_command("process_events", stdout=StringIO())

        automation.assert_occurred(one, "arrival_due")


class TestOffsets:
    def test_a_negative_offset_runs_before_its_event(self, automation):
        one = automation.save(booking())

        automation.advance(hours=4)

        automation.assert_completed(Prepare, booking_id=one.pk)
        automation.assert_not_occurred(one, "arrival_due")

    def test_revoked_by_an_update_and_restored_by_a_save_it_runs_at_that_save(self, automation):
        one = automation.save(booking())
        Booking.objects.filter(pk=one.pk).update(status="revoked")
        automation.advance(hours=4)
        automation.assert_waiting(Prepare)

        automation.save(one, status="confirmed")

        automation.assert_completed(Prepare, booking_id=one.pk)
        automation.assert_not_occurred(one, "arrival_due")

    def test_moved_earlier_it_runs_earlier(self, automation):
        one = automation.save(booking(hours=48))

        automation.save(one, arrives_at=timezone.now() + timedelta(hours=2))
        automation.advance(hours=1)

        automation.assert_completed(Prepare)

    def test_moved_earlier_by_an_update_it_is_early_enough_after_a_sync(self, automation):
        one = automation.save(booking(hours=48))

        Booking.objects.filter(pk=one.pk).update(arrives_at=timezone.now() + timedelta(hours=2))
        Event.objects.sync(Booking.objects.all())
        automation.advance(hours=1)

        automation.assert_completed(Prepare)


class TestWorkflows:
    def test_two_workflows_on_one_event_both_run(self, automation):
        automation.save(booking())

        automation.assert_completed(Porter)
        automation.assert_completed(Cook)

    def test_a_signal_sent_before_the_wait_is_not_lost(self, automation):
        run = engine.start(Waiter, table=1)
        engine.signal("order", {"order": "soup"}, run_id=run.id)

        automation.run_until_idle()

        assert texts() == ["serve 1 soup"]

    def test_an_event_that_occurred_before_the_wait_is_not_lost(self, automation):
        automation.save(booking(papers="passport"))

        automation.assert_completed(AwaitPapers, papers="passport")

    def test_a_wait_without_its_signal_ends_at_its_time(self, automation):
        automation.start(Waiter, table=1)

        automation.advance(hours=1)

        assert texts() == ["gave up 1"]

    def test_each_step_has_attempts_of_its_own(self, automation):
        run = automation.start(Clumsy)

        automation.advance(minutes=1)

        automation.assert_completed(run, drops=4)

    def test_a_retry_is_not_rounded_up_to_the_next_minute(self, automation):
        run = automation.start(Clumsy)

        automation.advance(seconds=2)

        assert automation.context(run)["drops"] == 2

    def test_a_message_that_the_queue_lost_costs_time_and_nothing_else(self, automation):
        run = engine.start(Waiter, table=1)
        automation.commit()
        automation.executor.drop()

        automation.advance(hours=3)

        assert texts() == ["gave up 1"]
        automation.assert_completed(run)

    def test_a_start_that_cannot_be_queued_is_a_start_all_the_same(self, automation):
        class Unreachable:
            horizon = timedelta(0)

            def enqueue(self, run_ids, *, run_after=None):
                raise ConnectionError("no broker")

        from automation.workflows.ports import wiring

        with wiring.override(executor=Unreachable()):
            run = engine.start(Waiter, table=1)
            automation.commit()

        automation.advance(hours=3)
        automation.assert_completed(run)

    def test_a_worker_that_is_killed_in_a_step_is_replaced(self, automation):
        with automation.worker_dies("step.after_body"):
            run = automation.start(Clumsy)
            assert automation.run(run).status == "waiting"
            automation.advance(seconds=2)
            automation.advance(seconds=4)
        assert automation.executor.deaths == 1

        automation.advance(minutes=30)

        automation.assert_completed(run)

    @pytest.mark.automation(inline=True)
    def test_a_long_chain_without_a_pause_does_not_run_out_of_stack(self, automation):
        run = automation.start(Counter, to=1_500)

        automation.assert_completed(run, at=1_500)

    def test_a_context_that_forbids_other_keys_is_given_none(self, automation):
        automation.save(booking(papers="passport"))

        automation.assert_completed(Strict, papers="passport")

    def test_the_clock_alone_is_enough_for_time_to_pass(self):
        with FakeClock() as clock:
            before = timezone.now()
            clock.advance(hours=1)

            assert timezone.now() - before == timedelta(hours=1)
