"""What the hotel does by itself: the guide's flow in seconds, timers to be measured, and work to be interrupted."""

import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from automation.events.callbacks import on_event
from automation.events.models import Event, EventDelivery
from automation.workflows.core import (
    Retry,
    complete,
    engine,
    event_workflow,
    fail,
    get_context,
    get_wake,
    goto,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from tests.clusters.hotel.models import Entry

BEFORE = timedelta(seconds=6)
AFTER = timedelta(seconds=3)


@on_event(event_name="stay_confirmed")
def welcome(event: Event) -> None:
    """Runs at the commit of the save."""
    Entry.write("welcomed", event.entity_id)


@on_event(event_name="arrival_due")
def arrived(event: Event) -> None:
    """Runs when the date has come."""
    Entry.write("arrived", event.entity_id, event.at)


class _OfAStay:
    @classmethod
    def should_run_for_event(cls, event: Any) -> bool:
        return event.entity.kind == "guide"

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        return cls.Context(stay=event.entity.pk, arrives_at=event.at)  # type: ignore[attr-defined]


@event_workflow("arrival_due", offset=-BEFORE, name="prepare", default_retry=Retry(max_attempts=3))
class Prepare(_OfAStay):
    """Begins before the arrival; waits for papers or gives up; rests; fails once; waits for a word; ends."""

    class Context(BaseModel):
        stay: int
        arrives_at: datetime
        tries: int = 0
        word: str | None = None
        final_state: str | None = None

    @step(start=True)
    def begin(self) -> Any:
        ctx = get_context()
        Entry.write("prepared", ctx.stay, ctx.arrives_at - BEFORE)
        return wait_for_event(
            "paper_uploaded", timeout=timedelta(seconds=15), on_timeout="without_papers", then="with_papers"
        )

    @step()
    def with_papers(self) -> Any:
        Entry.write("with papers", get_context().stay)
        return sleep(timedelta(seconds=1), then=self.rested)

    @step()
    def without_papers(self) -> Any:
        Entry.write("without papers", get_context().stay)
        return goto(self.rested)

    @step(retry=Retry(max_attempts=5, base_delay=timedelta(seconds=1), jitter=0))
    def rested(self) -> Any:
        ctx = get_context()
        ctx.tries += 1
        if ctx.tries < 2:
            raise RuntimeError("not yet")
        Entry.write("rested", ctx.stay)
        return wait.for_signal("house:open", key=str(ctx.stay), then=self.close)

    @step()
    def close(self) -> Any:
        ctx = get_context()
        if ctx.word is None:
            return fail("The word did not come with the signal.")
        Entry.write("closed", ctx.stay)
        return complete(final_state="ok")


@event_workflow("arrival_due", offset=AFTER, name="ask_how_it_was")
class AskHowItWas(_OfAStay):
    """Begins after the arrival."""

    class Context(BaseModel):
        stay: int
        arrives_at: datetime

    @step(start=True)
    def ask(self) -> Any:
        ctx = get_context()
        Entry.write("asked", ctx.stay, ctx.arrives_at + AFTER)
        return complete()


class _Timed(BaseModel):
    number: int
    seconds: float
    due_at: datetime | None = None


def _due(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@workflow("sleeper")
class Sleeper:
    """Sleeps once, and notes how late it woke."""

    Context = _Timed

    @step(start=True)
    def lie_down(self) -> Any:
        ctx = get_context()
        ctx.due_at = _due(ctx.seconds)
        return sleep(timedelta(seconds=ctx.seconds), then=self.wake)

    @step()
    def wake(self) -> Any:
        ctx = get_context()
        Entry.write("slept", ctx.number, ctx.due_at)
        return complete()


@workflow("waiter")
class Waiter:
    """Waits for what never comes, and notes how late it gave up."""

    Context = _Timed

    @step(start=True)
    def stand(self) -> Any:
        ctx = get_context()
        ctx.due_at = _due(ctx.seconds)
        return wait("never", timeout=timedelta(seconds=ctx.seconds), on_timeout="give_up")

    @step()
    def give_up(self) -> Any:
        ctx = get_context()
        Entry.write("gave up", ctx.number, ctx.due_at)
        return complete()


@workflow("stumbler")
class Stumbler:
    """Fails once, and notes how late it was tried again."""

    Context = _Timed

    @step(start=True, retry=Retry(max_attempts=2, base_delay=timedelta(seconds=2), jitter=0))
    def run(self) -> Any:
        ctx = get_context()
        if ctx.due_at is None:
            ctx.due_at = _due(2)
            raise RuntimeError("stumbled")
        Entry.write("retried", ctx.number, ctx.due_at)
        return complete()


@event_workflow("arrival_due", offset=timedelta(seconds=-1), name="early_bird")
class EarlyBird:
    """Begins a second before the arrival of a stay that is measured."""

    class Context(BaseModel):
        stay: int
        due_at: datetime

    @classmethod
    def should_run_for_event(cls, event: Any) -> bool:
        return event.entity.kind == "timed"

    @classmethod
    def create_context(cls, event: Any = None) -> BaseModel:
        return cls.Context(stay=event.entity.pk, due_at=event.at - timedelta(seconds=1))

    @step(start=True)
    def run(self) -> Any:
        ctx = get_context()
        Entry.write("early", ctx.stay, ctx.due_at)
        return complete()


@workflow("hanger", default_retry=Retry(max_attempts=1))
class Hanger:
    """Never comes back by itself."""

    class Context(BaseModel):
        number: int = 0

    @step(start=True)
    def run(self) -> Any:
        Entry.write("hung", "hanger")
        time.sleep(600)
        return complete()


@workflow("leaver", default_retry=Retry(max_attempts=1))
class Leaver:
    """Tries to end the process that works on it."""

    class Context(BaseModel):
        number: int = 0

    @step(start=True)
    def run(self) -> Any:
        Entry.write("left", "leaver")
        sys.exit(3)


@workflow("killer")
class Killer:
    """Kills the process that works on it, as the kernel does when memory runs out."""

    class Context(BaseModel):
        number: int = 0

    @step(start=True, timeout=timedelta(seconds=1))
    def run(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
        return complete()


@workflow("slowcoach")
class Slowcoach:
    """Takes longer than q2's `retry`: the same message is at a second worker meanwhile."""

    class Context(BaseModel):
        number: int = 0

    @step(start=True)
    def run(self) -> Any:
        time.sleep(4)
        Entry.write("arrived at last", "slowcoach")
        return complete()


def stand_still() -> None:
    """Stop this process, as a machine that is suspended stops all of its own; whoever plays the scene lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


@workflow("sleepwalker")
class Sleepwalker:
    """Stands still in the middle of its first attempt."""

    class Context(BaseModel):
        number: int = 0

    @step(start=True)
    def walk(self) -> Any:
        if get_wake().kind == "start":
            stand_still()
        Entry.write("walked", "sleepwalker")
        return complete()


@workflow("daydreamer")
class Daydreamer:
    """Stands still in a step without a transaction; the next step writes."""

    class Context(BaseModel):
        number: int = 0

    @step(start=True, atomic=False)
    def dream(self) -> Any:
        if get_wake().kind == "start":
            stand_still()
        return goto(self.walk)

    @step()
    def walk(self) -> Any:
        Entry.write("walked", "daydreamer")
        return complete()


@on_event(event_name="arrival_due", name="doorman")
def doorman(event: Event) -> None:
    """Stands still in the first call for a stay of his."""
    if event.entity.kind == "doorman":
        if EventDelivery.objects.get(event_id=event.pk, callback="doorman").attempts == 1:
            stand_still()
        Entry.write("opened", "doorman")


@workflow("errand")
class Errand:
    """One step that keeps a worker for a while."""

    class Context(BaseModel):
        number: int
        seconds: float = 0

    @step(start=True)
    def run(self) -> Any:
        ctx = get_context()
        time.sleep(ctx.seconds)
        Entry.write("errand", ctx.number)
        return complete()


STEPS = 6
"""Steps of a labourer, each with its line in the ledger."""


@workflow("labourer")
class Labourer:
    """Six steps with a line each: goto, sleep, a signal to itself by key, a wait, a retry, a long step."""

    class Context(BaseModel):
        number: int
        tries: int = 0

    @step(start=True, timeout=timedelta(seconds=2))
    def one(self) -> Any:
        self._write("1")
        return goto(self.two)

    @step(timeout=timedelta(seconds=2))
    def two(self) -> Any:
        self._write("2")
        return sleep(timedelta(seconds=0.5), then=self.three)

    @step(timeout=timedelta(seconds=2))
    def three(self) -> Any:
        number = get_context().number
        self._write("3")
        engine.signal("labour:go", key=str(number))
        return goto(self.four)

    @step(timeout=timedelta(seconds=2))
    def four(self) -> Any:
        return wait("labour:go", key=str(get_context().number), then=self.five)

    @step(timeout=timedelta(seconds=2), retry=Retry(max_attempts=3, base_delay=timedelta(seconds=0.5), jitter=0))
    def five(self) -> Any:
        ctx = get_context()
        ctx.tries += 1
        if ctx.tries == 1:
            raise RuntimeError("the first try always fails")
        self._write("4")
        self._write("5")
        return goto(self.six)

    @step(timeout=timedelta(seconds=2))
    def six(self) -> Any:
        self._write("6")
        return complete()

    def _write(self, line: str) -> None:
        Entry.write(f"labour {line}", get_context().number)
