"""What is stored about a person can be erased, and what was erased starts nothing again."""

from datetime import timedelta
from uuid import uuid4

import pytest

from automation.workflows.core import engine
from automation.workflows.models import WorkflowAttempt, WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.ports import wiring
from tests.integration.conftest import Heap, ParcelEvents, StillClock
from tests.parcelapp.models import Parcel

pytestmark = pytest.mark.django_db


def erase(parcel: Parcel) -> int:
    assert wiring.upkeep is not None
    return wiring.upkeep.erase("parcelapp.Parcel", str(parcel.pk))


def test_contexts_payloads_and_errors_about_an_entity_are_emptied(
    clock: StillClock, queue: Heap, events: ParcelEvents
) -> None:
    parcel = Parcel.objects.create()
    engine.occurred([events.add("parcel_late", parcel, clock.now(), guest="Mrs Miller")])
    clock.advance(hours=1)
    engine.process_scheduled()
    queue.work_off()
    WorkflowRun.objects.update(error="Mrs Miller")
    WorkflowAttempt.objects.update(detail="Mrs Miller")

    assert erase(parcel) == 2

    run = WorkflowRun.objects.get()
    assert (run.data, run.error, run.status) == ({}, "", WorkflowStatus.COMPLETED)
    assert "erased" in run.why
    assert WorkflowAttempt.objects.get().detail == ""
    assert WorkflowSignal.objects.get().payload is None


def test_a_live_run_is_cancelled_before_it_is_emptied(clock: StillClock, queue: Heap, events: ParcelEvents) -> None:
    parcel = Parcel.objects.create()
    occurrence = events.add("parcel_late", parcel, clock.now() + timedelta(hours=1))
    engine.occurred([occurrence])

    erase(parcel)
    clock.advance(hours=3)
    engine.process_scheduled()
    engine.occurred([occurrence])
    queue.work_off()

    assert WorkflowRun.objects.get().status == WorkflowStatus.CANCELLED
    parcel.refresh_from_db()
    assert parcel.state == "packed"


def test_what_is_about_others_is_left(clock: StillClock, queue: Heap, events: ParcelEvents) -> None:
    parcel, other = Parcel.objects.create(pk=1), Parcel.objects.create(pk=11)
    for each in (parcel, other):
        engine.occurred([events.add("parcel_late", each, clock.now(), guest="Mrs Miller")])
    engine.start("sleeper", label="Mrs Miller")

    erase(parcel)

    assert WorkflowRun.objects.for_entity(other).get().status == WorkflowStatus.WAITING
    assert [signal.payload for signal in WorkflowSignal.objects.order_by("pk")] == [None, {"guest": "Mrs Miller"}]
    assert WorkflowRun.objects.get(name="sleeper").data == {"label": "Mrs Miller"}


def test_an_id_in_another_case_is_another_entity(clock: StillClock) -> None:
    WorkflowSignal.objects.bulk_create(
        WorkflowSignal(
            signal_id=uuid4(),
            name="event:seen",
            payload={"guest": pk},
            subjects=[{"type": "parcelapp.parcel", "id": pk}],
            sent_at=clock.now(),
        )
        for pk in ("ab", "AB", "abc")
    )

    assert wiring.upkeep is not None
    assert wiring.upkeep.erase("parcelapp.Parcel", "ab") == 1
    left = WorkflowSignal.objects.filter(payload__isnull=False)
    assert [signal.payload for signal in left.order_by("pk")] == [{"guest": "AB"}, {"guest": "abc"}]


def test_erasing_twice_is_harmless(clock: StillClock, queue: Heap, events: ParcelEvents) -> None:
    parcel = Parcel.objects.create()
    engine.occurred([events.add("parcel_late", parcel, clock.now())])

    erase(parcel)
    erase(parcel)

    assert WorkflowRun.objects.get().data == {}
