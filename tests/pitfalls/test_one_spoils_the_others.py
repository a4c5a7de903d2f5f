"""Symptom: one bad callback, payload, workflow or row, and the others stand still."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from automation.events.callbacks import callback_registry
from automation.events.models import EventDelivery
from automation.workflows.core import engine
from automation.workflows.models import WorkflowRun, WorkflowStatus
from tests.pitfalls.inn.automations import Cook, Grumbler, Porter, Silent, Waiter, welcome, wish_well
from tests.pitfalls.inn.models import Booking, Guest, Note

pytestmark = pytest.mark.django_db


def booking(**fields):
    return Booking(**{"arrives_at": timezone.now() + timedelta(hours=5), "status": "confirmed", **fields})


def texts():
    return list(Note.objects.order_by("pk").values_list("text", flat=True))


class TestCallbacks:
    def test_good_bad_good_the_good_ones_are_called_and_the_save_stands(self, automation):
        one = automation.save(booking())

        automation.assert_called(welcome, about=one)
        automation.assert_called(wish_well, about=one)
        assert Booking.objects.get().pk == one.pk

    def test_what_the_bad_one_wrote_is_rolled_back_and_its_error_is_to_be_seen(self, automation):
        automation.save(booking())

        assert not any(text.startswith("quarrel") for text in texts())
        owed = EventDelivery.objects.get(callback="inn.quarrelsome")
        assert (owed.status, owed.attempts) == ("pending", 1)
        assert "RuntimeError: no" in owed.error

    def test_it_is_tried_again_and_given_up_visibly(self, automation):
        automation.save(booking())

        automation.advance(days=7)

        assert EventDelivery.objects.get(callback="inn.quarrelsome").status == "failed"

    def test_clearing_the_callbacks_of_users_does_not_cut_the_bridge(self, automation):
        kept = callback_registry.all()
        callback_registry.clear()
        try:
            automation.save(booking())
        finally:
            for one in kept:
                callback_registry.register(
                    one.function, one.event_name, one.entity_type, phase=one.phase, offset=one.offset, name=one.name
                )

        automation.assert_completed(Porter)


class TestWorkflows:
    def test_a_workflow_whose_context_cannot_be_made_fails_visibly_and_alone(self, automation):
        automation.save(booking())
        automation.advance(seconds=3)

        automation.assert_failed(Grumbler, match="never_there")
        automation.assert_completed(Porter)
        automation.assert_completed(Cook)

    def test_a_payload_of_the_wrong_type_harms_no_waiter(self, automation):
        runs = [automation.start(Waiter, table=table) for table in (1, 2)]

        automation.signal("order", {"order": "soup", "table": "not a number"})

        assert [automation.context(run)["table"] for run in runs] == [1, 2]
        assert sorted(texts()) == ["serve 1 soup", "serve 2 soup"]

    def test_a_payload_cannot_set_what_is_no_field(self, automation):
        run = automation.start(Waiter, table=1)

        automation.signal("order", {"order": "soup", "model_config": {}, "copy": 1, "__class__": "x"})

        assert set(automation.context(run)) == {"table", "order", "served_at", "bill"}

    def test_dates_and_decimals_in_a_context_come_back_as_they_were(self, automation):
        at = datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
        run = automation.start(Waiter, table=1, served_at=at, bill=Decimal("12.30"))
        seen = []

        with automation.stub_step(Waiter, "serve", does=lambda waiter: seen.append(waiter.context) or engine_sleep()):
            automation.signal("order", {"order": "soup"})

        assert (seen[0].served_at, seen[0].bill) == (at, Decimal("12.30"))
        automation.assert_completed(run)

    def test_a_mistake_of_the_author_is_not_repeated_three_times(self, automation):
        run = automation.start(Silent)

        automation.assert_failed(run, match="returned None")
        assert len(texts()) <= 1
        assert WorkflowRun.objects.get(pk=run.id).attempts.count() == 1

    def test_a_run_whose_workflow_is_gone_says_so_and_goes_on_when_it_is_back(self, automation):
        from automation.workflows.authoring.registry import registry

        run = automation.start(Waiter, table=1)
        definition = registry.to_start(Waiter)
        registry.unregister(definition)
        try:
            automation.advance(hours=2)
            stored = automation.assert_paused(run)
            assert "inn.waiter" in stored.why
        finally:
            registry.register(definition)

        automation.advance(hours=2)
        automation.assert_completed(run)

    def test_cancelling_what_never_was_is_refused_or_ignored_but_breaks_nothing(self, automation):
        run = automation.start(Waiter, table=1)

        engine.cancel(run.id)
        engine.cancel(run.id)

        assert WorkflowRun.objects.get(pk=run.id).status == WorkflowStatus.CANCELLED


class TestModels:
    def test_a_relation_called_events_is_none_of_ours(self, automation):
        guest = automation.save(Guest(name="Ada"))

        one = automation.save(booking(guest=guest))
        automation.advance(hours=5)

        assert list(guest.events.all()) == [one]
        automation.assert_occurred(one, "arrival_due")


def engine_sleep():
    from automation.workflows.core import complete

    return complete()
