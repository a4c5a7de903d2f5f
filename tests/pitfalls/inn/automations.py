"""What happens at the inn. Each class is there for a pitfall, and named in the test of it."""

from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from automation.events.callbacks import on_event, on_event_cancelled, on_event_created
from automation.workflows.core import (
    Retry,
    complete,
    event_workflow,
    get_wake,
    goto,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from tests.pitfalls.inn.models import Note


def note(text: str) -> None:
    Note.objects.create(text=text)


@on_event("booking_confirmed")
def welcome(event):
    note(f"welcome {event.entity_id}")


@on_event("booking_confirmed", name="inn.quarrelsome")
def quarrel(event):
    note(f"quarrel {event.entity_id}")
    raise RuntimeError("no")


@on_event("booking_confirmed")
def wish_well(event):
    note(f"wish {event.entity_id}")


@on_event("bell_rung")
def answer(event):
    note(f"ring {event.entity_id}")


@on_event("room_free", "room")
def clean(event):
    note(f"clean {event.entity.pk}")


@on_event_cancelled("arrival_due")
def tear_up(event):
    note(f"torn {event.entity_id}")


@on_event_created("booking_confirmed")
def note_down(event):
    note(f"noted {event.entity_id}")


@event_workflow("arrival_due", offset_minutes=-60)
class Prepare:
    class Context(BaseModel):
        booking_id: int

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(booking_id=event.entity.pk)

    @step(start=True)
    def heat(self):
        note(f"heated {self.context.booking_id}")
        return complete()


@event_workflow("booking_confirmed")
class Porter:
    class Context(BaseModel):
        entity_id: int

    @step(start=True)
    def carry(self):
        note(f"porter {self.context.entity_id}")
        return complete()


@event_workflow("booking_confirmed")
class Cook:
    """On the same event and offset as Porter."""

    class Context(BaseModel):
        entity_id: int

    @step(start=True)
    def stir(self):
        note(f"cook {self.context.entity_id}")
        return complete()


@event_workflow("booking_confirmed")
class Grumbler:
    """Its Context cannot be made: the third on the same event, and no harm to the other two."""

    class Context(BaseModel):
        never_there: int

    @step(start=True)
    def run(self):
        return complete()


@event_workflow("booking_confirmed", name="inn.papers")
class AwaitPapers:
    class Context(BaseModel):
        entity_id: int
        papers: str = ""
        nagged: bool = False

    @step(start=True)
    def watch(self):
        if self.context.papers:
            return complete()
        return wait_for_event("papers_in", timeout=timedelta(hours=1), on_timeout=self.nag)

    @step()
    def nag(self):
        self.context.nagged = True
        return complete()


@workflow("inn.waiter")
class Waiter:
    class Context(BaseModel):
        table: int = 0
        order: str = ""
        served_at: datetime | None = None
        bill: Decimal = Decimal(0)

    @step(start=True)
    def listen(self):
        return wait("order", timeout=timedelta(hours=1), on_timeout="give_up", then="serve")

    @step()
    def serve(self):
        note(f"serve {self.context.table} {self.context.order}")
        return sleep(timedelta(hours=2), then=self.clear)

    @step()
    def clear(self):
        note(f"clear {self.context.table} woken by {get_wake().kind}")
        return complete()

    @step()
    def give_up(self):
        note(f"gave up {self.context.table}")
        return complete()


@workflow("inn.clumsy", default_retry=Retry(max_attempts=3, base_delay=timedelta(seconds=2)))
class Clumsy:
    """Each of its two steps fails twice: more than three attempts in all."""

    class Context(BaseModel):
        drops: int = 0

    @step(start=True)
    def first(self):
        return self._after_two_drops(of=2, then=self.second)

    @step()
    def second(self):
        return self._after_two_drops(of=4, then=None)

    def _after_two_drops(self, *, of, then):
        if self.context.drops < of:
            self.context.drops += 1
            raise RuntimeError("dropped")
        return complete() if then is None else goto(then)


@workflow("inn.silent")
class Silent:
    """Returns nothing: a mistake of its author, which no retry can mend."""

    class Context(BaseModel):
        pass

    @step(start=True)
    def run(self):
        note("silence")


@workflow("inn.counter")
class Counter:
    """Goes to itself, many times, without a pause."""

    class Context(BaseModel):
        to: int
        at: int = 0

    @step(start=True)
    def count(self):
        self.context.at += 1
        return complete() if self.context.at == self.context.to else goto(self.count)


@event_workflow("booking_confirmed", name="inn.strict")
class Strict:
    """Its Context takes nothing that it does not declare."""

    class Context(BaseModel):
        model_config = ConfigDict(extra="forbid")

        entity_id: int
        papers: str = ""

    @step(start=True)
    def watch(self):
        return wait_for_event("papers_in", then=self.read)

    @step()
    def read(self):
        return complete()
