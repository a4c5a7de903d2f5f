"""Rows of multi-table children and parents that share a key are one thing to wait for, whoever declares the event."""

from datetime import UTC, datetime

import pytest
from django.core.management import call_command

from automation.bridge.kinds import kinds_of
from automation.testing import Harness
from automation.workflows.models import WorkflowRun
from tests.hotel.automations import BookingAwaitsPayment, kinds
from tests.hotel.models import Bill, BookedSlot, Booking, Hall, RoyalSuite, Slot, Suite

pytestmark = [pytest.mark.django_db(databases=["default", "other"]), pytest.mark.automation(at="2030-01-01 12:00")]


def woken(workflow: str) -> list[int]:
    return sorted(int(each.partition(":")[2]) for each in kinds if each.partition(":")[0] == workflow)


def two(automation: Harness, model: type[Booking] = Suite) -> tuple[Booking, Booking]:
    pair = model.objects.create(), model.objects.create()
    automation.run_until_idle()
    return pair


def changed(automation: Harness, booking: Booking, **fields: bool) -> None:
    for name, value in fields.items():
        setattr(booking, name, value)
    booking.save()
    automation.run_until_idle()


@pytest.mark.parametrize("model", ["booking", "suite", "royalsuite", "hall", "bookedslot"])
def test_all_that_share_a_key_are_named_together(model: str):
    kinds_there_are = ["booking", "bookedslot", "hall", "royalsuite", "suite"]

    assert sorted(kinds_of(f"bridge_hotel.{model}")) == sorted(f"bridge_hotel.{each}" for each in kinds_there_are)


@pytest.mark.parametrize("label", ["bridge_hotel.slot", "bridge_hotel.stay", "bridge_hotel.gone", "gone.gone", "gone"])
def test_a_model_with_a_key_of_its_own_is_named_alone(label: str):
    assert kinds_of(label) == (label,)


@pytest.mark.parametrize("as_parent", [False, True], ids=["saved as child", "saved as parent"])
def test_a_run_about_a_child_hears_the_parents_event_of_its_own_row_only(automation: Harness, as_parent: bool):
    _, second = two(automation)

    changed(automation, Booking.objects.get(pk=second.pk) if as_parent else second, paid=True)

    assert woken("SuiteAwaitsPayment") == [second.pk]
    assert woken("BookingAwaitsPayment") == [second.pk]


def test_a_run_about_a_child_does_not_hear_a_row_that_is_no_child(automation: Harness):
    two(automation)
    plain = Booking.objects.create()

    changed(automation, plain, paid=True)

    assert woken("SuiteAwaitsPayment") == []
    assert woken("BookingAwaitsPayment") == [plain.pk]


def test_a_run_about_a_parent_hears_the_childs_event_of_its_own_row_only(automation: Harness):
    _, second = two(automation)
    Booking.objects.create()

    changed(automation, second, cleaned=True)

    assert woken("BookingAwaitsCleaning") == [second.pk]


def test_a_grandchild_without_events_is_what_its_parents_are(automation: Harness):
    _, second = two(automation, RoyalSuite)

    changed(automation, second, paid=True, cleaned=True)

    assert woken("SuiteAwaitsPayment") == [second.pk]
    assert woken("BookingAwaitsCleaning") == [second.pk]


def test_a_run_about_one_kind_does_not_hear_the_event_of_another_kind(automation: Harness):
    two(automation, Hall)
    suite, _ = two(automation)

    changed(automation, suite, cleaned=True)

    assert woken("HallAwaitsCleaning") == []


def test_an_event_that_is_about_a_parent_wakes_the_run_about_its_child_only(automation: Harness):
    _, second = two(automation)

    Bill.objects.create(booking_id=second.pk)
    automation.run_until_idle()

    assert woken("SuiteAwaitsBill") == [second.pk]


@pytest.mark.parametrize("model", [Suite, RoyalSuite])
def test_a_wait_that_asks_for_a_child_hears_the_parents_event_of_it(automation: Harness, model: type[Booking]):
    first, second = two(automation, model)
    for each in (first, second):
        automation.start("asks_for_suite", booking=each.pk)
    automation.run_until_idle()

    changed(automation, second, paid=True)

    assert woken("AsksForSuite") == [second.pk]


def test_a_wait_that_asks_for_a_parent_hears_the_childs_event_of_it(automation: Harness):
    first, second = two(automation)
    for each in (first, second):
        automation.start("asks_for_booking", booking=each.pk)
    automation.run_until_idle()

    changed(automation, second, cleaned=True)

    assert woken("AsksForBooking") == [second.pk]


def test_any_is_any(automation: Harness):
    first, second = two(automation)

    changed(automation, Booking.objects.create(), paid=True)

    assert woken("AsksForAny") == [first.pk, second.pk]


def test_a_run_is_about_the_model_that_declares_its_event(automation: Harness):
    suite, _ = two(automation)

    about_child = WorkflowRun.objects.get(name__endswith="SuiteAwaitsPayment", entity_id=str(suite.pk))
    about_parent = WorkflowRun.objects.get(name__endswith="BookingAwaitsPayment", entity_id=str(suite.pk))

    assert (about_child.entity, about_child.entity_model) == (suite, Suite)
    assert (about_parent.entity, about_parent.entity_model) == (Booking.objects.get(pk=suite.pk), Booking)


def test_runs_for_a_child_are_also_those_about_its_parents_row(automation: Harness):
    suite, other = two(automation)

    of_child = WorkflowRun.objects.for_entity(suite)
    of_parent = WorkflowRun.objects.for_entity(Booking.objects.get(pk=suite.pk))

    assert {run.entity_id for run in of_child} == {str(suite.pk)} != {str(other.pk)}
    assert {run.entity_type for run in of_child} == {"bridge_hotel.suite", "bridge_hotel.booking"}
    assert {run.entity_type for run in of_parent} == {"bridge_hotel.booking"}


def test_runs_for_a_child_are_also_those_about_a_parent_with_a_key_of_its_own(automation: Harness):
    Slot.objects.create()
    booked, _ = two(automation, BookedSlot)
    assert booked.number != booked.pk

    runs = WorkflowRun.objects.for_entity(booked)

    about = {(run.entity_type, run.entity_id) for run in runs}
    assert about == {("bridge_hotel.booking", str(booked.pk)), ("bridge_hotel.slot", str(booked.number))}


def test_an_event_tells_by_about_of_a_parent_with_a_key_of_its_own(automation: Harness):
    free = Slot.objects.create()
    booked = Booking.objects.create(), BookedSlot.objects.create()
    automation.run_until_idle()

    assert woken("OfASlot") == [booked[1].number] != [free.number]


def test_the_harness_finds_the_runs_about_a_parents_row(automation: Harness):
    suite, _ = two(automation)

    assert automation.assert_waiting(BookingAwaitsPayment, about=suite).entity.id == str(suite.pk)


def test_what_is_not_saved_has_no_runs(automation: Harness):
    two(automation)

    assert list(WorkflowRun.objects.for_entity(Suite())) == []


@pytest.mark.parametrize("as_parent", [False, True], ids=["deleted as child", "deleted as parent"])
def test_a_run_ahead_of_the_parents_event_is_called_off_when_the_child_is_deleted(automation: Harness, as_parent: bool):
    at = datetime(2030, 1, 2, tzinfo=UTC)
    kept, gone = Suite.objects.create(starts_at=at), Suite.objects.create(starts_at=at)
    automation.run_until_idle()
    statuses = {str(kept.pk): "waiting", str(gone.pk): "cancelled"}

    (Booking.objects.get(pk=gone.pk) if as_parent else gone).delete()

    runs = WorkflowRun.objects.filter(name__endswith="BeforeBooking")
    assert {run.entity_id: run.status for run in runs} == statuses


@pytest.mark.parametrize("label", ["Suite", "Booking"])
def test_the_data_of_a_row_is_erased_whichever_of_its_models_is_named(automation: Harness, label: str):
    kept, erased = two(automation)

    call_command("automation_erase", f"bridge_hotel.{label}", str(erased.pk))

    contexts = {run.entity_id: run.data for run in WorkflowRun.objects.filter(name__endswith="SuiteAwaitsPayment")}
    assert contexts == {str(kept.pk): {"booking": kept.pk}, str(erased.pk): {}}
    contexts = {run.entity_id: run.data for run in WorkflowRun.objects.filter(name__endswith="BookingAwaitsPayment")}
    assert contexts == {str(kept.pk): {"booking": kept.pk}, str(erased.pk): {}}
