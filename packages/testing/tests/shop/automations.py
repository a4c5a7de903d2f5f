"""Callbacks and workflows of the shop, small and telling."""

from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel

from automation.events.callbacks import on_event
from automation.workflows.core import (
    Retry,
    complete,
    engine,
    event_workflow,
    get_context,
    goto,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from tests.shop.models import Entry


@on_event("order_paid")
def note_payment(event):
    Entry.objects.create(text=f"paid {event.entity_id}")


@on_event("pickup_due", offset_minutes=-30, background=True)
def call_customer(event):
    Entry.objects.create(text=f"call {event.entity_id}")


@event_workflow("pickup_due", offset_minutes=-60, name="shop.prepare")
class Prepare:
    class Context(BaseModel):
        order_id: int

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(order_id=event.entity.pk)

    @step(start=True)
    def pack(self):
        Entry.objects.create(text=f"packed {self.context.order_id}")
        return complete()


@workflow("shop.chase", default_retry=Retry(max_attempts=3, base_delay=timedelta(seconds=2)))
class Chase:
    """Waits for a payment, chases twice, sleeps, and ends."""

    class Context(BaseModel):
        paid: bool = False
        chased: int = 0

    @step(start=True)
    def await_payment(self):
        if get_context().paid:
            return goto(self.rest)
        return wait("paid", timeout=timedelta(hours=1), on_timeout="chase")

    @step()
    def chase(self):
        ctx = get_context()
        ctx.chased += 1
        if ctx.chased < 2:
            raise RuntimeError("line is busy")
        return goto(self.rest)

    @step()
    def rest(self):
        return sleep(timedelta(days=30), then=self.end)

    @step()
    def end(self):
        return complete()


@workflow("shop.patient")
class Patient:
    """Waits for the payment of an order, however long it takes."""

    class Context(BaseModel):
        seen: bool = False

    @step(start=True)
    def watch(self):
        return wait_for_event("order_paid", then=self.saw)

    @step()
    def saw(self):
        return complete(seen=True)


@workflow("shop.careful")
class Careful:
    """Three steps whose rows are written in their own transactions: safe to repeat."""

    class Context(BaseModel):
        number: int

    @step(start=True)
    def first(self):
        Entry.objects.create(text=f"first {self.context.number}")
        return goto(self.second)

    @step()
    def second(self):
        Entry.objects.create(text=f"second {self.context.number}")
        engine.signal("shop.done", {"number": self.context.number})
        return sleep(timedelta(minutes=5), then=self.third)

    @step()
    def third(self):
        Entry.objects.create(text=f"third {self.context.number}")
        return complete()


outside: list[str] = []
"""What left the house: letters, payments. No rollback brings them back."""


@workflow("shop.careless")
class Careless:
    """Posts a letter in the middle of a step: a worker that dies afterwards posts it again."""

    class Context(BaseModel):
        number: int

    @step(start=True)
    def prepare(self):
        return goto(self.post_letter)

    @step()
    def post_letter(self):
        outside.append(f"letter {self.context.number}")
        return complete()


@workflow("shop.hasty")
class Hasty:
    """Writes a row in no transaction: a worker that dies afterwards writes it again."""

    class Context(BaseModel):
        note: str = ""
        entry: int = 0
        written: int = 0

    @step(start=True, atomic=False)
    def write(self):
        get_context().entry = Entry.objects.create(text="hasty").pk
        get_context().written = Entry.objects.count()
        return complete()


@workflow("shop.invoice")
class Invoice:
    """Keeps values that JSON does not know."""

    class Context(BaseModel):
        due: datetime
        amount: Decimal = Decimal("10.50")

    @step(start=True)
    def send(self):
        return complete()
