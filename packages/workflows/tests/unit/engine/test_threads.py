"""Real threads on one MemoryStorage: what the locks are for."""

from collections.abc import Callable
from contextvars import Context
from threading import Barrier, Thread

import pytest
from pydantic import BaseModel

from automation.workflows.core import WorkflowStatus, complete, get_context, get_wake, goto, step, wait, workflow
from automation.workflows.engine.memory.locks import Deadlock
from tests.unit.world import World

THREADS = 4


def together(act: Callable[[int], object]) -> None:
    """Have four threads act at the same moment; raise what any of them raised."""
    barrier = Barrier(THREADS)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait(timeout=30)
        try:
            act(number)
        except BaseException as error:
            raised.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not [thread for thread in threads if thread.is_alive()], "the threads wait for each other"
    assert raised == []


def test_one_of_many_hints_at_once_does_the_work(world: World) -> None:
    world.with_queue()

    @workflow("chain")
    class Chain:
        class Context(BaseModel):
            left: int = 20

        @step(start=True)
        def run(self):
            get_context().left -= 1
            return goto(self.run) if get_context().left else complete()

    run = world.engine.start("chain")
    together(lambda number: world.engine.execute_step(run.id))

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.attempts(run)) == 20


def test_signals_sent_at_once_are_each_consumed_once(world: World) -> None:
    @workflow("collector")
    class Collector:
        class Context(BaseModel):
            seen: list[int] = []
            item: int = -1

        @step(start=True)
        def run(self):
            context = get_context()
            if get_wake().cause == "signal":
                context.seen.append(context.item)
            return complete() if len(context.seen) == 10 * THREADS else wait("item", since="run")

    run = world.engine.start("collector")

    def send(number: int) -> None:
        for index in range(10):
            world.engine.signal("item", {"item": number * 10 + index})

    together(send)
    world.sweep()
    world.advance(seconds=11)

    seen = world.data(run)["seen"]
    assert sorted(seen) == list(range(10 * THREADS))  # type: ignore[call-overload]
    for number in range(THREADS):
        own = [item for item in seen if item // 10 == number]  # type: ignore[attr-defined]
        assert own == sorted(own)


def test_starts_of_one_key_at_once_give_one_run(world: World) -> None:
    world.with_queue()

    @workflow("single")
    class Single:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return complete()

    together(lambda number: world.engine.start("single", run_key="k"))

    assert len(world.storage.runs()) == 1


def test_a_thread_that_would_wait_for_itself_is_told(world: World) -> None:
    @workflow("locked")
    class Locked:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return wait("x")

    run = world.engine.start("locked")
    with world.storage.transaction():
        world.engine.pause(run.id)
        with pytest.raises(Deadlock, match="held by an outer transaction of this very thread"):
            Context().run(world.engine.cancel, run.id)

    assert world.status(run) is WorkflowStatus.PAUSED
