"""Workflows before, at and after an arrival, and some that misbehave."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from automation.workflows.core import (
    ANY,
    complete,
    event_workflow,
    get_context,
    get_wake,
    sleep,
    step,
    wait_for_event,
    workflow,
)
from tests.hotel.models import Booking, Paper, Stay, Suite

done: Counter[str] = Counter()
"""What was done, by workflow and stay."""
late: dict[str, timedelta] = {}
"""How late each of them began, likewise."""
seen: list[dict[str, Any]] = []
"""What waiting runs were woken with."""
kinds: Counter[str] = Counter()
"""Which runs about bookings were woken, as `workflow:key`."""


class _AtArrival:
    class Context(BaseModel):
        stay: int
        planned_for: datetime | None = None

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        return cls.Context(stay=event.entity.pk, planned_for=event.at)

    @step(start=True)
    def run(self) -> Any:
        what = f"{type(self).__name__} {get_context().stay}"
        done[what] += 1
        late[what] = get_wake().late
        return complete()


@event_workflow("arrival_due", offset_minutes=-60)
class HourBefore(_AtArrival):
    """The guide's negative offset."""


@event_workflow("arrival_due")
class AtOnce(_AtArrival):
    """No offset."""


@event_workflow("arrival_due", offset_minutes=30)
class HalfAnHourAfter(_AtArrival):
    """A positive offset."""


@event_workflow("stay_confirmed")
class BrokenContext(_AtArrival):
    """Cannot make its Context for one guest."""

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        if event.entity.name == "Mallory":
            raise LookupError("no context for Mallory")
        return cls.Context(stay=event.entity.pk)


@event_workflow("stay_confirmed")
class BrokenDecision(_AtArrival):
    """Cannot decide whether to run, for one guest."""

    @classmethod
    def should_run_for_event(cls, event: Any) -> bool:
        if event.entity.name == "Mallory":
            raise LookupError("no decision for Mallory")
        return True


@event_workflow("stay_confirmed")
class Sound(_AtArrival):
    """Stands beside the broken one."""


class _Listening(BaseModel):
    stay: int = 0
    event_id: str | None = None
    event_name: str | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    event_at: datetime | None = None
    name: str | None = None


class _Listener:
    Context = _Listening

    def heard(self) -> Any:
        if get_wake().cause == "signal":
            seen.append({"by": get_context().stay, **get_context().model_dump(mode="json")})
            return complete()
        return None


@event_workflow("stay_confirmed", name="listener")
class Listener(_Listener):
    """Is about a stay, and waits for a paper."""

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        return _Listening(stay=event.entity.pk)

    @step(start=True)
    def listen(self) -> Any:
        return self.heard() or wait_for_event("paper_uploaded")


@event_workflow("stay_confirmed", name="arrival_listener")
class ArrivalListener(_Listener):
    """Is about a stay, and waits for its own arrival."""

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        return _Listening(stay=event.entity.pk)

    @step(start=True)
    def listen(self) -> Any:
        return self.heard() or wait_for_event("arrival_due")


@workflow("manual_listener")
class ManualListener(_Listener):
    """Is about nothing, and waits for any arrival."""

    @step(start=True)
    def listen(self) -> Any:
        return self.heard() or wait_for_event("arrival_due")


@workflow("late_listener")
class LateListener(_Listener):
    """Is told of a stay, and waits for a paper of it, an hour after it began."""

    @step(start=True)
    def rest(self) -> Any:
        return sleep(timedelta(hours=1), then=self.listen)

    @step()
    def listen(self) -> Any:
        return self.heard() or wait_for_event("paper_uploaded", entity=Stay.objects.get(pk=get_context().stay))


@workflow("self_supplier")
class SelfSupplier(_Listener):
    """Saves the paper for which it waits, in the step that waits, which has no transaction: it is heard at once."""

    @step(start=True, atomic=False)
    def listen(self) -> Any:
        stay = Stay.objects.get(pk=get_context().stay)
        if (ended := self.heard()) is not None:
            return ended
        Paper.objects.create(stay=stay)
        return wait_for_event("paper_uploaded", entity=stay)


@event_workflow("stay_confirmed", name="complaints")
class Complaints(_Listener):
    """Waits for an event of another model that does not say what it is about: the check warns of it."""

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        return _Listening(stay=event.entity.pk)

    @step(start=True)
    def listen(self) -> Any:
        return self.heard() or wait_for_event("complaint_made")

    @step()
    def listen_to_all(self) -> Any:
        return wait_for_event("complaint_made", entity=ANY)


class _OfABooking:
    """Waits for one event of its booking and notes that it was woken."""

    class Context(BaseModel):
        booking: int = 0

    @classmethod
    def create_context(cls, event: Any = None, booking: int = 0) -> BaseModel:
        return cls.Context(booking=event.entity.pk if event else booking)

    @step()
    def woken(self) -> Any:
        kinds[f"{type(self).__name__}:{get_context().booking}"] += 1
        return complete()


@event_workflow("suite_made")
class SuiteAwaitsPayment(_OfABooking):
    """Is about the child, and waits for the parent's event."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("booking_paid", then=self.woken)


@event_workflow("booking_made")
class BookingAwaitsCleaning(_OfABooking):
    """Is about the parent, and waits for the child's event."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("suite_cleaned", then=self.woken)


@event_workflow("booking_made")
class BookingAwaitsPayment(_OfABooking):
    """Is about the parent, and waits for its event."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("booking_paid", then=self.woken)


@event_workflow("hall_made")
class HallAwaitsCleaning(_OfABooking):
    """Is about one kind, and waits for an event of another: of the same booking, which no hall is."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("suite_cleaned", then=self.woken)


@event_workflow("suite_made")
class SuiteAwaitsBill(_OfABooking):
    """Is about the child, and waits for an event that is about the parent."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("bill_sent", then=self.woken)


@workflow("asks_for_suite")
class AsksForSuite(_OfABooking):
    """Is about nothing, and asks for the child by itself."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("booking_paid", entity=Suite.objects.get(pk=get_context().booking), then=self.woken)


@workflow("asks_for_booking")
class AsksForBooking(_OfABooking):
    """Is about nothing, and asks for the parent by itself."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("suite_cleaned", entity=Booking.objects.get(pk=get_context().booking), then=self.woken)


@event_workflow("suite_made")
class AsksForAny(_OfABooking):
    """Is about the child, and is woken by the event of any."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("booking_paid", entity=ANY, then=self.woken)


@event_workflow("booking_starts", offset_minutes=-60)
class BeforeBooking(_OfABooking):
    """Is about the parent, ahead of its event."""

    @step(start=True)
    def begin(self) -> Any:
        return self.woken()


@event_workflow("slot_made")
class OfASlot(_OfABooking):
    """Is about a parent with a key of its own, and waits for an event of a child that says so."""

    @step(start=True)
    def begin(self) -> Any:
        return wait_for_event("slot_booked", then=self.woken)
