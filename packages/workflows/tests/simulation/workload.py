"""The workflows of the simulated world. Each writes what it does, so that it can be judged afterwards."""

from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel

from automation.workflows.core import (
    Retry,
    complete,
    event_workflow,
    fail,
    get_context,
    get_wake,
    goto,
    heartbeat,
    on_fail,
    run_children,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from automation.workflows.engine.scope import running_scope
from automation.workflows.runs.values import Run
from tests.simulation.events import EVENT, OFFSET

__all__ = ["ITEMS", "SimWorld", "define", "stage"]

ITEMS = 4
"""How many signals a collector needs."""


class SimWorld(Protocol):
    """What the workflows need of the world."""

    engine: Any
    storage: Any
    events: Any
    outside: list[tuple[UUID, int, str]]
    """Which run, which of its calls, and the key that went with it."""

    def chance(self, rate: float) -> bool: ...

    def pick(self, low: int, high: int) -> int: ...

    def die(self, run: Run, deaths: int) -> None: ...


class Stage:
    """Stands for whichever world is being simulated, so that the workflows are defined once."""

    world: SimWorld

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)


stage = Stage()


def define() -> None:
    """Register the workflows."""
    world: Any = stage

    def write() -> None:
        """Write one row of the step's own, as its ORM would."""
        scope = running_scope()
        assert scope is not None
        world.storage.note((scope.run.id, scope.run.visit, scope.step.name))

    def may_raise() -> None:
        if world.chance(0.15):
            raise RuntimeError("transient")

    patient = Retry(max_attempts=50, base_delay=timedelta(seconds=1), max_delay=timedelta(seconds=5))

    @workflow("chain", default_retry=patient)
    class Chain:
        """Goes through its steps; sleeps and raises on the way."""

        class Context(BaseModel):
            left: int = 4
            visits: list[int] = []

        @step(start=True)
        def run(self):
            write()
            may_raise()
            context = get_context()
            context.visits.append(running_scope().run.visit)
            context.left -= 1
            if context.left <= 0:
                return complete(visits=context.visits)
            if world.chance(0.3):
                return sleep(timedelta(seconds=world.pick(1, 30)))
            return goto(self.run)

    @workflow("collector", default_retry=patient)
    class Collector:
        """Appends the number that each signal to it carries."""

        class Context(BaseModel):
            seen: list[int] = []
            item: int = -1

        @step(start=True)
        def run(self):
            write()
            context = get_context()
            if get_wake().cause == "signal" and (not context.seen or context.seen[-1] != context.item):
                context.seen.append(context.item)
            may_raise()
            return complete() if len(context.seen) >= ITEMS else wait("item")

    @workflow("keyed", default_retry=patient)
    class Keyed:
        """Sleeps before it waits: signals for its key that come meanwhile count."""

        class Context(BaseModel):
            key: str
            heard: bool = False

        @step(start=True)
        def run(self):
            write()
            return sleep(timedelta(seconds=world.pick(0, 20)), then=self.listen)

        @step()
        def listen(self):
            write()
            may_raise()
            return wait("keyed", key=get_context().key, then=self.end)

        @step()
        def end(self):
            write()
            return complete(heard=True)

    @workflow("racer", default_retry=patient)
    class Racer:
        """A signal and a timeout race: one of them wins."""

        class Context(BaseModel):
            winners: list[str] = []

        @step(start=True)
        def run(self):
            write()
            return wait("race", timeout=timedelta(seconds=world.pick(1, 60)), on_timeout=self.late, then=self.heard)

        @step()
        def late(self):
            write()
            may_raise()
            get_context().winners.append("timeout")
            return complete()

        @step()
        def heard(self):
            write()
            may_raise()
            get_context().winners.append("signal")
            return complete()

    @workflow("outside", default_retry=patient)
    class Outside:
        """Calls the outside world without a transaction."""

        class Context(BaseModel):
            left: int = 3

        @step(start=True, atomic=False)
        def run(self):
            context = get_context()
            world.outside.append((running_scope().run.id, context.left, get_wake().idempotency_key))
            may_raise()
            context.left -= 1
            return goto(self.run) if context.left else complete()

    @workflow("parent", default_retry=patient)
    class Parent:
        """Starts children of several kinds and joins them."""

        class Context(BaseModel):
            children: int = 3
            heard: list[dict[str, Any]] = []

        @step(start=True)
        def run(self):
            write()
            may_raise()
            kinds = ["chain", "failing", "racer", "compensated", "dated", ("poison", {"deaths": 3})]
            names = [kinds[world.pick(0, 5)] for _ in range(get_context().children)]
            return run_children(names, then=self.after)

        @step()
        def after(self):
            write()
            get_context().heard = get_wake().payload["children"]
            return complete()

    @workflow("failing", default_retry=Retry(max_attempts=2, base_delay=timedelta(seconds=1)))
    class Failing:
        class Context(BaseModel):
            tries: int = 0

        @step(start=True)
        def run(self):
            get_context().tries += 1
            write()
            raise RuntimeError("always")

    @workflow("compensated", default_retry=patient)
    class Compensated:
        class Context(BaseModel):
            undone: int = 0

        @step(start=True)
        def run(self):
            write()
            return fail("on purpose")

        @on_fail(retry=patient)
        def undo(self):
            write()
            may_raise()
            get_context().undone += 1

    @event_workflow(EVENT, offset=OFFSET, name="planned", default_retry=patient)
    class Planned:
        """Reserved before its event, and follows the event's date until it begins."""

        class Context(BaseModel):
            number: str

        @classmethod
        def create_context(cls, event=None):
            world.events.judge_begin(event)
            return cls.Context(number=event.occurrence.id)

        @step(start=True)
        def run(self):
            write()
            may_raise()
            return wait_for_event(EVENT, since="run", timeout=timedelta(seconds=20), on_timeout="end", then="end")

        @step()
        def end(self):
            write()
            return complete()

    @workflow("beating", default_retry=patient)
    class Beating:
        """Takes long outside of a transaction, and says so."""

        class Context(BaseModel):
            done: bool = False

        @step(start=True, atomic=False)
        def run(self):
            for _ in range(3):
                heartbeat()
            may_raise()
            get_context().done = True
            return complete()

    @workflow("dated", default_retry=patient, deadline=timedelta(seconds=40))
    class Dated:
        """Waits for what nobody sends: it is over in time, or its deadline ends it."""

        class Context(BaseModel):
            undone: int = 0

        @step(start=True)
        def run(self):
            write()
            may_raise()
            if world.chance(0.2):
                return complete()
            if world.chance(0.5):
                return goto(self.run) if world.chance(0.5) else sleep(timedelta(seconds=world.pick(1, 20)))
            return wait("never")

        @on_fail(retry=patient)
        def undo(self):
            write()
            may_raise()
            get_context().undone += 1

    @workflow("poison", default_retry=patient)
    class Poison:
        """Kills so many of its workers in each visit."""

        class Context(BaseModel):
            deaths: int = 0

        @step(start=True, timeout=timedelta(seconds=5))
        def run(self):
            write()
            world.die(running_scope().run, get_context().deaths)
            return complete()

    @workflow("gossip", default_retry=patient)
    class Gossip:
        """Starts another by a key and sends it a signal, all at its commit."""

        class Context(BaseModel):
            key: str

        @step(start=True)
        def run(self):
            write()
            key = get_context().key
            other = world.engine.start("keyed", run_key=key, key=key)
            world.engine.signal("keyed", key=key)
            world.engine.cancel(UUID(int=other.id.int ^ 1))
            may_raise()
            return complete()
