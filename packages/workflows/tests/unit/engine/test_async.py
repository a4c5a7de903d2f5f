"""Async steps, a-verbs, and synchronous verbs where they would block."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel

from automation.workflows.core import Retry, WorkflowStatus, complete, get_context, get_wake, goto, step, wait, workflow
from automation.workflows.engine.async_verbs import is_under_loop
from automation.workflows.errors import AsyncCallNeeded
from tests.unit.world import World


class Nothing(BaseModel):
    """A Context without fields."""


def test_an_async_step_runs_like_any_other(world: World) -> None:
    @workflow("mixed")
    class Mixed:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        async def run(self):
            await asyncio.sleep(0)
            get_context().n += 1
            assert get_wake().kind == "start"
            return goto(self.other)

        @step()
        def other(self):
            self.context.n += 1
            return complete()

    run = world.engine.start("mixed")

    assert world.data(run) == {"n": 2}


def test_an_async_step_is_in_the_transaction_of_its_move(world: World) -> None:
    @workflow("failing", default_retry=Retry(max_attempts=1))
    class Failing:
        Context = Nothing

        @step(start=True)
        async def run(self):
            world.storage.mailbox.post([])
            world.engine.signal("sent")
            raise RuntimeError("after sending")

    run = world.engine.start("failing")

    assert world.status(run) is WorkflowStatus.FAILED
    assert world.storage.signals() == []


def test_a_timeout_cancels_an_async_step(world: World) -> None:
    cancelled: list[bool] = []

    @workflow("slow", default_retry=Retry(max_attempts=1))
    class Slow:
        Context = Nothing

        @step(start=True, timeout=timedelta(milliseconds=20))
        async def run(self):
            try:
                # Long enough for whoever is cancelled, and an end for whoever is not.
                await asyncio.wait_for(asyncio.Event().wait(), 5)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    run = world.engine.start("slow")

    assert cancelled == [True]
    assert "StepTimedOut: Step 'run' was cancelled after its timeout of 0:00:00.020000" in world.stored(run).error


def test_an_async_step_that_nobody_could_cancel_is_refused_after_its_timeout(world: World) -> None:
    """It gives the loop no chance: it comes to its end, too late."""

    @workflow("stubborn", default_retry=Retry(max_attempts=1))
    class Stubborn:
        Context = Nothing

        @step(start=True, timeout=timedelta(seconds=5))
        async def run(self):
            world.clock.at += timedelta(seconds=6)
            return complete()

    run = world.engine.start("stubborn")

    assert world.status(run) is WorkflowStatus.FAILED
    assert "Step 'run' took 0:00:06, longer than its timeout of 0:00:05" in world.stored(run).error


@pytest.mark.parametrize("timeout", [None, timedelta(minutes=1)])
def test_a_timeout_of_a_call_that_an_async_step_makes_is_that_calls_own(
    world: World, timeout: timedelta | None
) -> None:
    @workflow("caller", default_retry=Retry(max_attempts=1))
    class Caller:
        Context = Nothing

        @step(start=True, timeout=timeout)
        async def run(self):
            raise TimeoutError("the bank does not answer")

    run = world.engine.start("caller")

    assert world.stored(run).error.startswith("TimeoutError: the bank does not answer")


def test_the_a_verbs_do_what_the_verbs_do(world: World) -> None:
    @workflow("waiter")
    class Waiter:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return wait("x", then=self.end)

        @step()
        def end(self):
            return complete()

    async def scenario() -> list[WorkflowStatus]:
        engine = world.engine
        one, two, three = [await engine.astart("waiter", n=n) for n in range(3)]
        await engine.acancel(one.id)
        await engine.apause(two.id)
        await engine.asignal("x", {"n": 9})
        await engine.aprocess_scheduled()
        await engine.aexecute_step(three.id)
        paused = world.status(two)
        await engine.aresume(two.id)
        return [world.status(one), paused, world.status(two), world.status(three)]

    assert asyncio.run(scenario()) == ["cancelled", "paused", "completed", "completed"]


def test_what_an_async_step_starts_has_its_context_made_off_the_loop(world: World) -> None:
    @workflow("made")
    class Made:
        class Context(BaseModel):
            verb: str
            under_loop: bool

        @classmethod
        def create_context(cls, verb):
            return cls.Context(verb=verb, under_loop=is_under_loop())

        @step(start=True)
        def run(self):
            return complete()

    @workflow("maker")
    class Maker:
        Context = Nothing

        @step(start=True)
        async def run(self):
            made = await world.engine.astart("made", verb="astart")
            await world.engine.asignal("seen", run_id=made.id)
            return complete()

    world.engine.start("maker")

    (made,) = (run for run in world.storage.runs() if run.name == "made")
    assert made.data == {"verb": "astart", "under_loop": False}


@pytest.mark.parametrize("verb", ["start", "signal", "cancel", "pause", "resume", "retry", "execute_step"])
def test_a_synchronous_verb_under_a_loop_names_the_one_to_await(world: World, verb: str) -> None:
    async def scenario() -> None:
        with pytest.raises(AsyncCallNeeded, match=rf"Write await engine.a{verb}\(...\) instead"):
            getattr(world.engine, verb)("x")

    asyncio.run(scenario())


def test_every_verb_has_its_a_verb(world: World) -> None:
    verbs = (
        "start",
        "signal",
        "cancel",
        "pause",
        "resume",
        "retry",
        "execute_step",
        "process_scheduled",
        "handle_event_occurred",
    )

    assert all(asyncio.iscoroutinefunction(getattr(world.engine, f"a{verb}")) for verb in verbs)


def test_an_async_step_runs_when_its_run_is_started_under_a_loop(world: World) -> None:
    @workflow("nested")
    class Nested:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        async def run(self):
            await asyncio.sleep(0)
            get_context().n += 1
            await world.engine.asignal("sent")
            return goto(self.other)

        @step()
        async def other(self):
            get_context().n += 1
            return complete()

    async def scenario() -> None:
        run = await world.engine.astart("nested")
        assert world.data(run) == {"n": 2}

    asyncio.run(scenario())

    assert [signal.name for signal in world.storage.signals()] == ["sent"]
