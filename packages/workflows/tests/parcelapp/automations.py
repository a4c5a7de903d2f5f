"""The workflows of the test app, found by autodiscovery."""

from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from django.db import DatabaseError, transaction
from django.utils import timezone
from pydantic import BaseModel

from automation.workflows.core import (
    Retry,
    complete,
    engine,
    event_workflow,
    fail,
    get_context,
    get_wake,
    goto,
    run_child,
    run_children,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from automation.workflows.models import WorkflowAttempt
from tests.parcelapp.models import Entry, Parcel


@event_workflow("checkout_due", offset_minutes=-120, default_retry=Retry(base_delay=timedelta(seconds=2), jitter=0))
class CheckoutOps:
    """The guide's section 4, with a ledger in place of a housekeeper."""

    class Context(BaseModel):
        reservation_id: int
        docs_ready: bool = False
        notified: bool = False
        attempts: int = 0
        final_state: str | None = None

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(reservation_id=event.entity.id)

    @step(start=True)
    def await_docs(self):
        if get_context().docs_ready:
            return goto(self.notify_housekeeping)
        return wait_for_event("guest_docs_uploaded", timeout=timedelta(minutes=90), on_timeout="fallback_docs")

    @step()
    def fallback_docs(self):
        return goto(self.notify_housekeeping)

    @step(retry=Retry(max_attempts=5, base_delay=timedelta(seconds=1), jitter=0))
    def notify_housekeeping(self):
        ctx = get_context()
        ctx.attempts += 1
        Entry.objects.create(account="housekeeping", amount=ctx.attempts)
        if ctx.attempts < 2:
            raise RuntimeError("transient failure")
        ctx.notified = True
        return goto(self.finalize)

    @step()
    def finalize(self):
        ctx = get_context()
        if not ctx.notified:
            return fail("Housekeeping was not notified")
        return complete(final_state="ok")


@workflow("chain")
class Chain:
    """So many steps, one after the other, each writing a line."""

    class Context(BaseModel):
        steps: int
        done: int = 0

    @step(start=True)
    def run(self):
        ctx = get_context()
        ctx.done += 1
        return complete() if ctx.done == ctx.steps else goto(self.run)


@workflow("listener")
class Listener:
    """Appends the number that each signal carries, in the order in which they come, until it has enough."""

    class Context(BaseModel):
        name: str
        enough: int
        number: int = 0
        heard: list[int] = []

    @step(start=True)
    def listen(self):
        ctx = get_context()
        if get_wake().cause == "signal":
            ctx.heard.append(ctx.number)
            Entry.objects.create(account=ctx.name, amount=ctx.number)
        if len(ctx.heard) == ctx.enough:
            return complete()
        return wait("numbers", key=ctx.name)


@workflow("babbler", default_retry=Retry(max_attempts=1))
class Babbler:
    """Sends so many numbers from one step."""

    class Context(BaseModel):
        name: str
        count: int

    @step(start=True)
    def babble(self):
        ctx = get_context()
        for number in range(ctx.count):
            engine.signal("numbers", {"number": number}, key=ctx.name)
        return complete()


@workflow("sleeper")
class Sleeper:
    """Sleeps an hour and ends."""

    class Context(BaseModel):
        label: str = ""

    @step(start=True)
    def nap(self):
        return sleep(timedelta(hours=1), then=self.end)

    @step()
    def end(self):
        return complete()


@workflow("waiter")
class Waiter:
    """Waits for a signal, and notes that it came."""

    class Context(BaseModel):
        foo: int = 0

    @step(start=True)
    def begin(self):
        return wait("ops:window_open", timeout=timedelta(minutes=5), then=self.opened, on_timeout=self.late)

    @step()
    def opened(self):
        Entry.objects.create(account="opened", amount=get_context().foo)
        return complete()

    @step()
    def late(self):
        Entry.objects.create(account="late", amount=0)
        return complete()


@workflow("late riser")
class LateRiser:
    """Waits for a signal that is sent from now on."""

    class Context(BaseModel):
        foo: int = 0

    @step(start=True)
    def begin(self):
        return wait("ops:window_open", since="now", then=self.opened)

    @step()
    def opened(self):
        return complete()


@workflow("clumsy", default_retry=Retry(max_attempts=2, base_delay=timedelta(seconds=1), jitter=0))
class Clumsy:
    """Fails in the way it is told to."""

    class Context(BaseModel):
        how: str
        then: str = "complete"

    @step(start=True)
    def stumble(self):
        how = get_context().how
        Entry.objects.create(account="clumsy", amount=1)
        match how:
            case "nul":
                raise ValueError("before\x00after \ud83d")
            case "huge":
                raise ValueError("x" * 1_000_000)
            case "swallows":
                if get_wake().attempt == 1:
                    with suppress(DatabaseError):
                        Entry.objects.create(pk=Entry.objects.latest("pk").pk, account="twice", amount=1)
                return self.go_on(get_context().then)
            case "swallows in a query":
                with suppress(DatabaseError):
                    Entry.objects.raw("SELECT nothing")[0]
                return self.go_on(get_context().then)
            case "nested":
                with transaction.atomic():
                    Entry.objects.create(account="inner", amount=1)
                return complete()
        return fail(how)

    def go_on(self, then):
        match then:
            case "goto":
                return goto(self.end)
            case "sleep":
                return sleep(timedelta(hours=1), then=self.end)
            case "wait":
                return wait("steady", then=self.end)
            case "run_child":
                return run_child("chain", steps=1, then=self.end)
            case "start":
                engine.start("chain", steps=1)
            case "signal":
                engine.signal("steady")
            case "raise" if get_wake().attempt == 1:
                raise RuntimeError("told to")
        return complete()

    @step()
    def end(self):
        return complete()


@workflow("transfer")
class Transfer:
    """Takes an amount from one account and gives it to another, in two steps with a wait between."""

    class Context(BaseModel):
        source: str
        target: str
        amount: int

    @step(start=True)
    def take(self):
        ctx = get_context()
        Entry.objects.create(account=ctx.source, amount=-ctx.amount)
        Entry.objects.create(account="in transit", amount=ctx.amount)
        return goto(self.give)

    @step()
    def give(self):
        ctx = get_context()
        Entry.objects.create(account="in transit", amount=-ctx.amount)
        Entry.objects.create(account=ctx.target, amount=ctx.amount)
        return complete()


@workflow("parent")
class Parent:
    """Starts a child and ends when it has ended, or when another one has as well."""

    class Context(BaseModel):
        label: str = ""
        parts_again: bool = False

    @step(start=True)
    def begin(self):
        return run_child("chain", then=self.joined, steps=2)

    @step()
    def joined(self):
        ctx = get_context()
        if not ctx.parts_again:
            return complete()
        ctx.parts_again = False
        return run_child("chain", then=self.joined, steps=1)


@workflow("family")
class Family:
    """Starts many children and ends when all have ended."""

    class Context(BaseModel):
        children: int

    @step(start=True)
    def begin(self):
        return run_children([("chain", {"steps": 2})] * get_context().children, then=self.joined)

    @step()
    def joined(self):
        return complete()


@event_workflow("parcel_late", offset_minutes=30, entity_type="parcelapp.parcel")
class Chaser:
    """Runs half an hour after its event, and is about a parcel."""

    class Context(BaseModel):
        parcel_id: int

    @classmethod
    def create_context(cls, event=None):
        return cls.Context(parcel_id=event.entity.pk)

    @step(start=True)
    def chase(self):
        Parcel.objects.filter(pk=get_context().parcel_id).update(state="chased")
        return complete()


@workflow("meeting")
class Meeting:
    """One step that two may meet at: it writes a line, and then goes on or waits, as it is told."""

    class Context(BaseModel):
        how: str
        heard: int = 0

    @step(start=True)
    def arrive(self):
        ctx = get_context()
        Entry.objects.create(account="arrive", amount=1)
        if ctx.how == "raise" and get_wake().attempt == 1:
            raise RuntimeError("once")
        if ctx.how in {"goto", "raise"}:
            return goto(self.leave)
        if ctx.how == "fail":
            return fail("told to")
        return wait("meet", timeout=timedelta(minutes=5), then=self.leave, on_timeout=self.give_up)

    @step()
    def leave(self):
        Entry.objects.create(account="leave", amount=1)
        return complete()

    @step()
    def give_up(self):
        Entry.objects.create(account="give up", amount=1)
        return complete()


@event_workflow("meeting_due", offset_minutes=-60)
class Reserved:
    """A start that is reserved an hour before its event, and cannot begin with a spoilt parcel."""

    class Context(BaseModel):
        parcel_id: int

    @classmethod
    def create_context(cls, event=None):
        if event.entity.state == "spoilt":
            raise ValueError("a spoilt parcel")
        return cls.Context(parcel_id=event.entity.pk)

    @step(start=True)
    def arrive(self):
        Entry.objects.create(account="arrive", amount=1)
        return complete()


@workflow("list")
class List:
    """Appends the number that each signal carries until it is told to stop."""

    class Context(BaseModel):
        name: str
        number: int = 0
        heard: list[int] = []

    @step(start=True)
    def listen(self):
        ctx = get_context()
        if get_wake().cause == "signal":
            if ctx.number < 0:
                return complete()
            ctx.heard.append(ctx.number)
            Entry.objects.create(account=ctx.name, amount=0)
        return wait("append", key=ctx.name)


@workflow("flaky")
class Flaky:
    """Fails once, and then does what it is for."""

    class Context(BaseModel):
        tries: int = 0

    @step(start=True, retry=Retry(max_attempts=50, base_delay=timedelta(milliseconds=20), jitter=0))
    def stumble(self):
        ctx = get_context()
        ctx.tries += 1
        Entry.objects.create(account="flaky", amount=0)
        if ctx.tries < 2:
            raise RuntimeError("once")
        return complete()


@workflow("quarrel")
class Quarrel:
    """Calls another run off, lets one go on, and goes on itself or waits."""

    class Context(BaseModel):
        other: str = ""
        resumes: str = ""
        waits: bool = False

    @step(start=True)
    def quarrel(self):
        ctx = get_context()
        if ctx.other:
            engine.cancel(ctx.other)
        if ctx.resumes:
            engine.resume(ctx.resumes)
        return wait("meet") if ctx.waits else goto(self.end)

    @step()
    def end(self):
        return complete()


@workflow("dangling", default_retry=Retry(max_attempts=2))
class Dangling:
    """Writes a row that refers to nothing."""

    class Context(BaseModel):
        tries: int = 0

    @step(start=True)
    def refer(self):
        get_context().tries += 1
        Entry.objects.create(account="dangling", amount=0)
        now = timezone.now()
        WorkflowAttempt.objects.create(run_id=uuid4(), visit=1, number=1, revision=1, started_at=now, finished_at=now)
        return complete()
