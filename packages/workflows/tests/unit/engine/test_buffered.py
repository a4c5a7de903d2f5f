"""What a step asks of the engine happens at its commit, or not at all."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from automation.workflows.core import Retry, WorkflowStatus, complete, get_wake, step, wait, workflow
from automation.workflows.errors import UsageError
from automation.workflows.ports import Policy
from tests.unit.world import World


class Nothing(BaseModel):
    """A Context without fields."""


def acting(act: Any, *, atomic: bool = True, retry: Retry | None = None, is_async: bool = False) -> None:
    """Define "actor", whose step does `act`."""

    class Actor:
        Context = Nothing

        @step(start=True, atomic=atomic, retry=retry)
        def run(self):
            act()
            return complete()

    class AsyncActor:
        Context = Nothing

        @step(start=True, atomic=atomic, retry=retry)
        async def run(self):
            act()
            return complete()

    workflow("actor")(AsyncActor if is_async else Actor)


def waiter() -> None:
    @workflow("waiter")
    class Waiter:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", then=self.end)

        @step()
        def end(self):
            return complete()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "not-atomic"])
def test_starts_and_signals_happen_at_the_commit(world: World, atomic: bool, is_async: bool) -> None:
    seen: list[object] = []

    def act() -> None:
        started = world.engine.start("waiter")
        world.engine.signal("x", run_id=started.id)
        seen.append(started.id)
        seen.append([run.name for run in world.storage.runs()])

    waiter()
    acting(act, atomic=atomic, is_async=is_async)
    world.engine.start("actor")

    assert seen[1] == ["actor"]
    started = next(run for run in world.storage.runs() if run.name == "waiter")
    assert started.id == seen[0]
    assert started.status is WorkflowStatus.COMPLETED


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "not-atomic"])
def test_an_attempt_that_raises_takes_what_it_asked_for_with_it(world: World, atomic: bool) -> None:
    def act() -> None:
        world.engine.start("waiter")
        world.engine.signal("x")
        if get_wake().attempt == 1:
            raise RuntimeError

    waiter()
    acting(act, atomic=atomic)
    run = world.engine.start("actor")
    assert [each.name for each in world.storage.runs()] == ["actor"]

    world.advance(seconds=1)

    assert [each.name for each in world.storage.runs()] == ["actor", "waiter"]
    assert len(world.storage.signals()) == 1
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_start_by_key_gives_the_same_id_to_everybody(world: World) -> None:
    ids: list[object] = []

    def act() -> None:
        ids.append(world.engine.start("waiter", run_key="k").id)

    waiter()
    acting(act)
    outside = world.engine.start("waiter", run_key="k")
    world.engine.start("actor")

    assert ids == [outside.id]
    assert len([run for run in world.storage.runs() if run.name == "waiter"]) == 1


@pytest.mark.parametrize(
    ("verb", "instead"),
    [
        ("cancel", r"return fail\(...\) or complete\(\) instead"),
        ("pause", r"return wait\(...\) or sleep\(...\) instead"),
        ("resume", "it is not paused while it runs"),
        ("retry", r"raise, or return goto\(...\) instead"),
    ],
)
def test_verbs_on_the_steps_own_run_are_refused_with_what_to_use_instead(world: World, verb: str, instead: str) -> None:
    world.with_queue()

    def act() -> None:
        with pytest.raises(UsageError, match=f"A step cannot {verb} its own run: {instead}"):
            getattr(world.engine, verb)(run.id)

    acting(act)
    run = world.engine.start("actor")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_signal_to_its_own_run_is_consumed_by_its_next_wait(world: World) -> None:
    @workflow("selfish")
    class Selfish:
        Context = Nothing

        @step(start=True)
        def run(self):
            world.engine.signal("x", run_id=run.id)
            return wait("x", then=self.end)

        @step()
        def end(self):
            return complete()

    world.with_queue()
    run = world.engine.start("selfish")
    world.engine.execute_step(run.id)
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_orders_about_other_runs_happen_with_the_commit(world: World) -> None:
    waiter()
    others = [world.engine.start("waiter") for _ in range(3)]

    def act() -> None:
        world.engine.cancel(others[0].id)
        world.engine.pause(others[1].id)
        world.engine.pause(others[2].id)
        world.engine.resume(others[2].id)
        assert {world.status(run) for run in others} == {WorkflowStatus.WAITING}

    acting(act)
    world.engine.start("actor")

    assert [world.status(run) for run in others] == ["cancelled", "paused", "waiting"]


def test_an_order_that_came_too_late_does_not_fail_the_step(world: World) -> None:
    waiter()
    other = world.engine.start("waiter")
    world.engine.cancel(other.id)
    acting(lambda: world.engine.resume(other.id))
    run = world.engine.start("actor")

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_runaway_step_is_stopped(world: World) -> None:
    world.set_policy(Policy(starts_per_step=10))
    waiter()
    acting(lambda: [world.engine.start("waiter") for _ in range(11)], retry=Retry(max_attempts=1))
    run = world.engine.start("actor")

    assert "A step may start 10 runs" in world.stored(run).error
    assert len(world.storage.runs()) == 1


def test_a_step_may_start_as_many_runs_as_the_limit_says(world: World) -> None:
    world.set_policy(Policy(starts_per_step=10))
    waiter()
    acting(lambda: [world.engine.start("waiter") for _ in range(10)], retry=Retry(max_attempts=1))
    run = world.engine.start("actor")

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.storage.runs()) == 11


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
def test_a_step_that_sends_without_end_is_stopped_before_anything_is_stored(
    world: World, atomic: bool, is_async: bool
) -> None:
    world.set_policy(Policy(signals_per_step=10))
    waiter()
    other = world.engine.start("waiter")
    sent: list[int] = []

    def send_for_ever() -> None:
        while True:
            world.engine.signal("go", {"number": len(sent)}, run_id=None if is_async else other.id)
            sent.append(1)

    acting(send_for_ever, atomic=atomic, is_async=is_async, retry=Retry(max_attempts=1))
    run = world.engine.start("actor")

    assert len(sent) == 10
    assert world.status(run) is WorkflowStatus.FAILED
    receiver = "" if is_async else f" to run {other.id}"
    told = f"Signal 'go'{receiver} is one too many: a step may send 10, and this one of run {run.id} has."
    assert told in world.stored(run).error
    assert "AUTOMATION_WORKFLOWS['SIGNALS_PER_STEP']" in world.stored(run).error
    assert list(world.storage.signals()) == []


def test_a_step_may_send_as_many_signals_as_the_limit_says(world: World) -> None:
    world.set_policy(Policy(signals_per_step=10))
    acting(lambda: [world.engine.signal("go", {"number": number}) for number in range(10)])
    run = world.engine.start("actor")

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.storage.signals()) == 10


def test_two_runs_that_signal_and_cancel_each_other_end(world: World) -> None:
    @workflow("rival")
    class Rival:
        class Context(BaseModel):
            other: str = ""

        @step(start=True)
        def run(self):
            return wait("go", then=self.strike)

        @step()
        def strike(self):
            world.engine.signal("hit", run_id=self.context.other)
            world.engine.cancel(self.context.other)
            return wait("hit", timeout=timedelta(minutes=1), then=self.end, on_timeout=self.end)

        @step()
        def end(self):
            return complete()

    from dataclasses import replace

    one, other = world.engine.start("rival"), world.engine.start("rival")
    for mine, theirs in ((one, other), (other, one)):
        world.storage._tables.runs[mine.id] = replace(world.stored(mine), data={"other": str(theirs.id)})
    world.engine.signal("go")
    world.advance(minutes=1)

    assert sorted([world.status(one), world.status(other)]) == ["cancelled", "completed"]


def test_a_payload_that_does_not_fit_the_one_run_it_is_for_raises_in_the_step(world: World) -> None:
    @workflow("counter")
    class Counter:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return wait("x")

    other = world.engine.start("counter")
    acting(lambda: world.engine.signal("x", {"n": "abc"}, run_id=other.id), retry=Retry(max_attempts=1))
    run = world.engine.start("actor")

    assert "does not fit the Context of 'counter'" in world.stored(run).error
