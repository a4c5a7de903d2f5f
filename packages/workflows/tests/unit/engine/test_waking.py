"""What wakes a run, where it goes on, and what it is told."""

import logging
import os
from datetime import timedelta

import pytest
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from automation.workflows.core import (
    Wake,
    WakeKind,
    WorkflowStatus,
    complete,
    get_context,
    get_wake,
    goto,
    sleep,
    step,
    wait,
    workflow,
)
from automation.workflows.errors import PayloadError
from automation.workflows.ports import Policy
from tests.unit.world import START, World

STEPS = 100_000 if os.environ.get("AUTOMATION_LONG") else 20_000
"""In a chain. The stack of Python ends at a thousand calls."""


class Nothing(BaseModel):
    """A Context without fields."""


def test_goto_runs_on_to_the_end_before_start_returns(world: World) -> None:
    @workflow("chain")
    class Chain:
        class Context(BaseModel):
            seen: list[str] = []

        @step(start=True)
        def one(self):
            get_context().seen.append("one")
            return goto(self.two)

        @step()
        def two(self):
            get_context().seen.append("two")
            return goto("three")

        @step()
        def three(self):
            self.context.seen.append("three")
            return complete()

    run = world.engine.start("chain")

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"seen": ["one", "two", "three"]}


def test_a_sleep_re_enters_the_step_that_slept(world: World) -> None:
    kinds: list[WakeKind] = []

    @workflow("sleeper")
    class Sleeper:
        Context = Nothing

        @step(start=True)
        def run(self):
            kinds.append(get_wake().kind)
            return sleep(timedelta(minutes=5)) if len(kinds) == 1 else complete()

    run = world.engine.start("sleeper")
    world.advance(minutes=4, seconds=59)
    assert world.status(run) is WorkflowStatus.WAITING

    world.advance(seconds=1)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert kinds == [WakeKind.START, WakeKind.TIMER]


def test_a_sleep_goes_on_to_then(world: World) -> None:
    @workflow("sleeper")
    class Sleeper:
        Context = Nothing

        @step(start=True)
        def run(self):
            return sleep(timedelta(minutes=5), then=self.after)

        @step()
        def after(self):
            return complete()

    run = world.engine.start("sleeper")
    world.advance(minutes=5)

    assert [name for name, _ in world.history(run)] == ["run", "after"]


def test_a_signal_re_enters_the_step_that_waited_and_merges_declared_fields_alone(world: World) -> None:
    wakes: list[Wake] = []

    @workflow("waiter")
    class Waiter:
        class Context(BaseModel):
            paid: bool = False

        @step(start=True)
        def run(self):
            wakes.append(get_wake())
            return complete() if get_context().paid else wait("paid")

    run = world.engine.start("waiter")
    world.clock.at += timedelta(seconds=3)
    world.engine.signal("paid", {"paid": True, "is_admin": True, "model_config": {}})

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"paid": True}
    woken = wakes[1]
    assert (woken.kind, woken.cause, woken.signal) == (WakeKind.SIGNAL, WakeKind.SIGNAL, "paid")
    assert woken.payload == {"paid": True, "is_admin": True, "model_config": {}}
    assert woken.sent_at == START + timedelta(seconds=3)
    assert woken.rejected == {}


def test_a_context_that_takes_anything_gets_no_undeclared_field_from_a_signal(world: World) -> None:
    @workflow("open")
    class Open:
        class Context(BaseModel):
            model_config = ConfigDict(extra="allow")
            paid: bool = False

        @step(start=True)
        def run(self):
            return wait("paid", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("open")
    world.engine.signal("paid", {"paid": True, "is_admin": True})

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"paid": True}


def test_a_signal_goes_on_to_then(world: World) -> None:
    @workflow("waiter")
    class Waiter:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait.for_signal("paid", then="after")

        @step()
        def after(self):
            return complete()

    run = world.engine.start("waiter")
    world.engine.signal("paid")

    assert [name for name, _ in world.history(run)] == ["run", "after"]


def test_a_value_that_does_not_validate_is_left_out_and_told(world: World) -> None:
    wakes: list[Wake] = []

    @workflow("waiter")
    class Waiter:
        class Context(BaseModel):
            n: int = 0
            s: str = ""

        @step(start=True)
        def run(self):
            wakes.append(get_wake())
            return wait("x", then=self.after)

        @step()
        def after(self):
            wakes.append(get_wake())
            return complete()

    run = world.engine.start("waiter")
    world.engine.signal("x", {"n": "abc", "s": "fine"})

    assert world.data(run) == {"n": 0, "s": "fine"}
    assert list(wakes[1].rejected) == ["n"]
    assert "integer" in wakes[1].rejected["n"]


def test_a_value_on_which_a_validator_breaks_is_left_out_and_told(world: World) -> None:
    wakes: list[Wake] = []

    @workflow("waiter")
    class Waiter:
        class Context(BaseModel):
            email: str = ""
            s: str = ""

            @field_validator("email", mode="before")
            @classmethod
            def strip(cls, value):
                return value.strip()

        @step(start=True)
        def run(self):
            return wait("x", then=self.after)

        @step()
        def after(self):
            wakes.append(get_wake())
            return complete()

    run = world.engine.start("waiter")
    world.engine.signal("x", {"s": "fine", "email": 5})

    assert world.data(run) == {"email": "", "s": "fine"}
    assert wakes[0].rejected == {"email": "a validator raised AttributeError"}

    run = world.engine.start("waiter")
    with pytest.raises(PayloadError, match="email: a validator raised AttributeError"):
        world.engine.signal("x", {"email": 5}, run_id=run.id)


def test_fields_that_do_not_go_together_are_left_out_one_by_one(world: World) -> None:
    @workflow("waiter")
    class Waiter:
        class Context(BaseModel):
            low: int = 0
            high: int = 10

            @model_validator(mode="after")
            def ordered(self):
                if self.low > self.high:
                    raise TypeError
                return self

        @step(start=True)
        def run(self):
            return wait("x", then=self.after)

        @step()
        def after(self):
            return complete()

    one, other = world.engine.start("waiter"), world.engine.start("waiter", low=5)
    world.engine.signal("x", {"low": 20, "high": 15})
    assert world.data(one) == {"low": 0, "high": 15}
    assert world.data(other) == {"low": 5, "high": 15}


def test_a_timeout_goes_to_on_timeout_and_differs_from_an_empty_payload(world: World) -> None:
    wakes: list[Wake] = []

    @workflow("waiter")
    class Waiter:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", timeout=timedelta(minutes=1), on_timeout=self.late)

        @step()
        def late(self):
            wakes.append(get_wake())
            return complete()

    run = world.engine.start("waiter")
    world.advance(minutes=1, seconds=7)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert (wakes[0].kind, wakes[0].signal, wakes[0].payload) == (WakeKind.TIMEOUT, "x", None)
    assert wakes[0].late == timedelta(seconds=7)


def test_a_timeout_without_on_timeout_re_enters_the_step_and_a_new_wait_counts_anew(world: World) -> None:
    kinds: list[WakeKind] = []

    @workflow("waiter")
    class Waiter:
        Context = Nothing

        @step(start=True)
        def run(self):
            kinds.append(get_wake().kind)
            return wait("x", timeout=timedelta(minutes=1)) if len(kinds) < 3 else complete()

    run = world.engine.start("waiter")
    world.advance(minutes=1)
    assert world.stored(run).wake_at == START + timedelta(minutes=2)

    world.advance(minutes=1)

    assert kinds == [WakeKind.START, WakeKind.TIMEOUT, WakeKind.TIMEOUT]
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_waiting_again_for_the_signal_that_woke_it_keeps_the_original_deadline(world: World) -> None:
    @workflow("collector")
    class Collector:
        class Context(BaseModel):
            seen: list[int] = []
            item: int | None = None

        @step(start=True)
        def run(self):
            context = get_context()
            if get_wake().kind == "timeout":
                return complete()
            if context.item is not None:
                context.seen.append(context.item)
            return wait("item", timeout=timedelta(minutes=10))

    run = world.engine.start("collector")
    world.advance(minutes=6)
    world.engine.signal("item", {"item": 1})

    assert world.stored(run).wake_at == START + timedelta(minutes=10)
    world.advance(minutes=4)
    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run)["seen"] == [1]


def test_waiting_for_another_key_counts_a_deadline_of_its_own_and_is_no_mistake(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @workflow("rounds")
    class Rounds:
        Context = Nothing

        @step(start=True)
        def run(self):
            key = "second" if get_wake().cause == "signal" else "first"
            return wait("done", key=key, timeout=timedelta(hours=1))

    run = world.engine.start("rounds")
    world.advance(minutes=50)
    world.engine.signal("done", key="first")

    assert world.stored(run).wake_at == START + timedelta(minutes=50 + 60)
    assert not [record for record in caplog.records if "nothing changed" in record.getMessage()]


def test_another_step_that_waits_for_the_same_signal_gets_its_own_deadline(world: World) -> None:
    @workflow("two_waits")
    class TwoWaits:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", timeout=timedelta(minutes=10), then=self.second)

        @step()
        def second(self):
            return wait("x", timeout=timedelta(minutes=10))

    run = world.engine.start("two_waits")
    world.advance(minutes=6)
    world.engine.signal("x")

    assert world.stored(run).wake_at == START + timedelta(minutes=16)


def test_waiting_again_with_nothing_changed_is_logged_as_a_likely_mistake(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @workflow("forgetful")
    class Forgetful:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x")

    world.engine.start("forgetful")
    assert "nothing changed" not in caplog.text
    with caplog.at_level(logging.WARNING):
        world.engine.signal("x")

    assert "waits for it again with nothing changed" in caplog.text
    assert "wait('x', then=self.next_step)" in caplog.text


@pytest.mark.parametrize(("counts", "payload"), [(True, None), (False, {"got": 1})], ids=["by step", "by signal"])
def test_waiting_again_with_something_changed_is_no_mistake(
    world: World, caplog: pytest.LogCaptureFixture, counts: bool, payload: dict[str, int] | None
) -> None:
    @workflow("collector")
    class Collector:
        class Context(BaseModel):
            got: int = 0

        @step(start=True)
        def run(self):
            if counts:
                get_context().got += 1
            return wait("x")

    run = world.engine.start("collector")
    world.engine.signal("x", payload)

    assert len(world.attempts(run)) == 2
    assert "nothing changed" not in caplog.text


def test_every_wake_clears_what_the_run_waited_for(world: World) -> None:
    @workflow("waiter")
    class Waiter:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", timeout=timedelta(minutes=1), on_timeout="late", then=self.nap)

        @step()
        def nap(self):
            return sleep(timedelta(hours=1), then=self.end)

        @step()
        def late(self):
            raise AssertionError("the wait was over")

        @step()
        def end(self):
            return complete()

    run = world.engine.start("waiter")
    world.engine.signal("x")
    world.engine.signal("x")
    world.advance(minutes=59)
    assert world.stored(run).current_step == "nap"

    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_the_idempotency_key_is_the_same_on_every_attempt_of_a_visit_and_differs_between_visits(world: World) -> None:
    wakes: list[Wake] = []

    @workflow("keyed")
    class Keyed:
        Context = Nothing

        @step(start=True)
        def run(self):
            wakes.append(get_wake())
            if len(wakes) == 1:
                raise RuntimeError("once")
            return goto(self.run) if len(wakes) == 2 else complete()

    world.engine.start("keyed")
    world.advance(seconds=1)

    keys = [wake.idempotency_key for wake in wakes]
    assert keys[0] == keys[1] != keys[2]
    assert [(wake.kind, wake.cause, wake.attempt) for wake in wakes] == [
        (WakeKind.START, WakeKind.START, 1),
        (WakeKind.RETRY, WakeKind.START, 2),
        (WakeKind.GOTO, WakeKind.GOTO, 1),
    ]


def test_a_retry_is_still_told_the_signal_that_began_the_visit_and_merges_it_once(world: World) -> None:
    wakes: list[Wake] = []

    @workflow("waiter")
    class Waiter:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return wait("x", then=self.after)

        @step()
        def after(self):
            wakes.append(get_wake())
            get_context().n += 1
            if len(wakes) == 1:
                raise RuntimeError("once")
            return complete()

    run = world.engine.start("waiter")
    world.engine.signal("x", {"n": 5})
    world.advance(seconds=1)

    assert world.data(run) == {"n": 7}
    assert (wakes[1].kind, wakes[1].cause, wakes[1].signal, wakes[1].payload) == ("retry", "signal", "x", {"n": 5})


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_chain_of_n_steps_takes_n_commits_of_its_own(world: World, steps: int) -> None:
    """One revision for the claim, one for each step."""

    @workflow("chain")
    class Chain:
        class Context(BaseModel):
            left: int

        @step(start=True)
        def run(self):
            get_context().left -= 1
            return goto(self.run) if get_context().left else complete()

    run = world.engine.start("chain", left=steps)

    assert world.stored(run).revision == 1 + steps


def test_a_long_chain_yields_and_is_hinted_again(world: World) -> None:
    queue = world.with_queue()

    @workflow("chain")
    class Chain:
        class Context(BaseModel):
            left: int

        @step(start=True)
        def run(self):
            get_context().left -= 1
            return goto(self.run) if get_context().left else complete()

    run = world.engine.start("chain", left=150)
    assert queue.given == [(run.id, None)]

    world.engine.execute_step(run.id)
    assert world.status(run) is WorkflowStatus.READY
    assert len(world.attempts(run)) == 100
    assert queue.given == [(run.id, None), (run.id, None)]

    world.engine.execute_step(run.id)
    assert world.status(run) is WorkflowStatus.COMPLETED
    assert queue.given == [(run.id, None), (run.id, None)]


def test_a_worker_gives_the_run_back_after_its_time(world: World) -> None:
    queue = world.with_queue()

    @workflow("slow")
    class Slow:
        class Context(BaseModel):
            left: int = 5

        @step(start=True)
        def run(self):
            world.clock.at += timedelta(seconds=4)
            get_context().left -= 1
            return goto(self.run) if get_context().left else complete()

    run = world.engine.start("slow")
    world.engine.execute_step(run.id)

    assert len(world.attempts(run)) == 3
    assert len(queue.given) == 2


def test_a_chain_of_many_thousand_steps_needs_no_stack(world: World) -> None:
    @workflow("long")
    class Long:
        class Context(BaseModel):
            left: int

        @step(start=True)
        def run(self):
            context = get_context()
            context.left -= 1
            return goto(self.run) if context.left else complete()

    run = world.engine.start("long", left=STEPS)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.attempts(run)) == STEPS


def test_without_an_executor_a_step_that_goes_to_itself_gives_the_caller_its_thread_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.set_policy(Policy(inline_turns=3, steps_per_claim=10))

    @workflow("restless")
    class Restless:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return goto(self.run)

    run = world.engine.start("restless")

    assert world.status(run) is WorkflowStatus.READY
    assert len(world.attempts(run)) == 30
    assert "at step 'run' of 'restless'" in caplog.text
    world.clock.at += timedelta(minutes=1)
    world.engine.process_scheduled()
    assert len(world.attempts(run)) == 60


def test_without_an_executor_a_caller_does_not_work_for_longer_than_it_may(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Each turn is short, but there is always another one."""

    @workflow("slow")
    class Slow:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return wait("go", then=self.work)

        @step()
        def work(self):
            world.clock.at += timedelta(seconds=45)
            return complete()

    runs = [world.engine.start("slow") for _ in range(3)]
    world.engine.signal("go")

    assert sorted(world.status(run).value for run in runs) == ["completed", "completed", "ready"]
    assert "Left READY to the sweep: 1," in caplog.text
