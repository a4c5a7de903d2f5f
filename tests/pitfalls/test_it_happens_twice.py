"""Symptom: it should have happened once, and it happened twice, or for the wrong one."""

import contextlib
from datetime import timedelta

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from automation.events.models import Event
from automation.events.services import event_processor
from automation.testing import Faults
from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun
from tests.pitfalls.inn.automations import AwaitPapers, Porter, Prepare, Waiter, welcome
from tests.pitfalls.inn.models import Booking, Note

pytestmark = pytest.mark.django_db


def booking(hours=5, **fields):
    return Booking(**{"arrives_at": timezone.now() + timedelta(hours=hours), "status": "confirmed", **fields})


def texts():
    return list(Note.objects.order_by("pk").values_list("text", flat=True))


class TestEvents:
    def test_saving_again_and_polling_again_change_nothing(self, automation):
        one = automation.save(booking())
        automation.advance(hours=5)

        for _ in range(3):
            automation.save(one)
            event_processor.process_due_events()
            automation.run_until_idle()

        automation.assert_called(welcome, about=one, times=1)
        automation.assert_occurred(one, "arrival_due", times=1)

    def test_cleaning_up_does_not_make_it_occur_again(self, automation):
        one = automation.save(booking())
        automation.advance(days=60)

        event_processor.cleanup_old_events(days_old=30)
        automation.save(one)

        assert texts().count(f"welcome {one.pk}") == 1
        automation.assert_occurred(one, "booking_confirmed", times=1)

    def test_a_date_moved_by_update_does_not_fire_at_its_old_time(self, automation):
        one = automation.save(booking())

        Booking.objects.filter(pk=one.pk).update(arrives_at=timezone.now() + timedelta(days=9))
        automation.advance(hours=6)

        automation.assert_not_occurred(one, "arrival_due")
        automation.advance(days=9)
        automation.assert_occurred(one, "arrival_due", times=1)

    def test_loading_a_fixture_fires_nothing(self, automation, tmp_path):
        one = automation.save(booking())
        fixture = tmp_path / "bookings.json"
        fixture.write_text(serializers.serialize("json", [one]))
        automation.delete(one)
        Note.objects.all().delete()

        call_command("loaddata", str(fixture), verbosity=0)
        automation.run_until_idle()

        assert Booking.objects.count() == 1
        assert texts() == []

    def test_a_rollback_leaves_neither_event_nor_run(self, automation):
        with contextlib.suppress(RuntimeError), transaction.atomic():
            booking().save()
            engine.start(Waiter)
            raise RuntimeError
        automation.run_until_idle()

        assert not Event.objects.exists()
        assert not WorkflowRun.objects.exists()
        assert texts() == []

    def test_old_dates_of_imported_history_do_not_occur(self, automation):
        one = automation.save(booking(hours=-48))

        automation.advance(days=1)

        automation.assert_not_occurred(one, "arrival_due")


class TestOffsets:
    def test_moved_later_it_does_not_run_at_the_old_time(self, automation):
        one = automation.save(booking())

        automation.save(one, arrives_at=timezone.now() + timedelta(days=2))
        automation.advance(hours=5)

        automation.assert_waiting(Prepare)

    def test_moved_later_by_an_update_it_does_not_run_at_the_old_time(self, automation):
        one = automation.save(booking())

        Booking.objects.filter(pk=one.pk).update(arrives_at=timezone.now() + timedelta(days=9))
        automation.advance(hours=6)
        automation.assert_waiting(Prepare)

        automation.advance(days=9)
        automation.assert_completed(Prepare)

    def test_its_date_taken_away_by_an_update_it_does_not_run(self, automation):
        one = automation.save(booking())

        Booking.objects.filter(pk=one.pk).update(arrives_at=None)
        automation.advance(hours=6)

        automation.assert_cancelled(Prepare)

    def test_revoked_it_does_not_run(self, automation):
        one = automation.save(booking())

        automation.save(one, status="revoked")
        automation.advance(hours=6)

        assert not any(text.startswith("heated") for text in texts())
        automation.assert_not_occurred(one, "arrival_due")

    def test_deleted_it_does_not_run(self, automation):
        one = automation.save(booking())

        automation.delete(one)
        automation.assert_cancelled(Prepare)
        automation.advance(hours=6)

        automation.assert_cancelled(Prepare)
        assert not any(text.startswith("heated") for text in texts())

    def test_a_hundred_moves_in_one_transaction_are_one_run(self, automation):
        one = automation.save(booking())

        with transaction.atomic():
            for hours in range(100):
                one.arrives_at = timezone.now() + timedelta(hours=10 + hours)
                one.save()
        automation.run_until_idle()

        automation.assert_waiting(Prepare, until=one.arrives_at - timedelta(hours=1))


class TestWorkflows:
    @pytest.mark.automation(faults=Faults(seed=1, duplicate=1.0, reorder=True))
    def test_messages_that_all_come_twice_run_each_step_once(self, automation):
        automation.save(booking())
        automation.start(Waiter, table=1)
        automation.signal("order", {"order": "soup"})
        automation.advance(hours=6)

        assert sorted(texts()) == sorted(set(texts()))

    def test_the_same_occurrence_handled_twice_starts_one_run(self, automation):
        one = automation.save(booking())

        engine.handle_event_occurred(automation.event(one, "booking_confirmed"))
        automation.run_until_idle()

        assert len(automation.runs(Porter)) == 1

    def test_an_event_of_one_booking_does_not_wake_the_run_of_another(self, automation):
        one, two = automation.save(booking()), automation.save(booking())

        automation.save(two, papers="passport")

        by_id = {run.entity.id: run for run in automation.runs(AwaitPapers)}
        automation.assert_waiting(by_id[str(one.pk)], papers="")
        automation.assert_completed(by_id[str(two.pk)], papers="passport")

    def test_a_signal_that_came_in_time_is_not_followed_by_the_timeout(self, automation):
        run = automation.start(Waiter, table=1)
        automation.signal("order", {"order": "soup"})

        automation.advance(hours=5)

        automation.assert_completed(run)
        assert texts() == ["serve 1 soup", "clear 1 woken by timer"]

    def test_a_sleep_is_not_cut_short_by_the_signal_of_an_earlier_wait(self, automation):
        run = automation.start(Waiter, table=1)
        automation.signal("order", {"order": "soup"})

        automation.signal("order", {"order": "cake"})

        automation.assert_waiting(run, at="serve", order="soup")

    def test_a_signal_after_the_timeout_is_ignored(self, automation):
        run = automation.start(Waiter, table=1)
        automation.advance(hours=1)

        automation.signal("order", {"order": "soup"}, run_id=None)

        automation.assert_completed(run, order="")

    def test_a_cancelled_run_does_nothing_more_whatever_arrives(self, automation):
        run = automation.start(Waiter, table=1)
        automation.executor.duplicate()

        engine.cancel(run.id)
        automation.signal("order", {"order": "soup"})
        automation.advance(hours=5)

        automation.assert_cancelled(run)
        assert texts() == []

    def test_executing_a_run_that_waits_or_is_over_or_never_was_does_nothing(self, automation):
        run = automation.start(Waiter, table=1)
        engine.execute_step(run.id, "listen")
        engine.execute_step("00000000-0000-7000-8000-000000000000", "listen")

        automation.assert_waiting(run)
        assert len(automation.timeline(run).splitlines()) == len(automation.timeline(run.id).splitlines())
