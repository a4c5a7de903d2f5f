"""Cancel, pause, resume, retry, start by key, versions, deadlines, compensation."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextvars import Context as ContextVars
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from automation.workflows.authoring.registry import registry
from automation.workflows.core import (
    EntityRef,
    Retry,
    WorkflowStatus,
    complete,
    event_workflow,
    fail,
    get_context,
    get_wake,
    goto,
    on_fail,
    run_child,
    sleep,
    step,
    wait,
    workflow,
)
from automation.workflows.engine.faults import injected
from automation.workflows.engine.keys import arguments_digest
from automation.workflows.errors import (
    IllegalTransition,
    NotConfigured,
    StaleRun,
    UnknownRun,
    UnknownWorkflow,
    UsageError,
)
from automation.workflows.ports import Policy
from automation.workflows.runs.values import AttemptOutcome, Pause, Run
from tests.unit.world import START, World


class Nothing(BaseModel):
    """A Context without fields."""


class Killed(BaseException):
    """As `kill -9`: nothing of ours runs after it."""

    is_simulated_crash = True


def die() -> None:
    raise Killed


def waiter(name: str = "waiter", **asked: object) -> None:
    @workflow(name)
    class Waiter:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return wait("x", then=self.after, **asked)

        @step()
        def after(self):
            return complete()


def elsewhere(act: object) -> object:
    return ContextVars().run(act)  # type: ignore[arg-type]


# cancel


def test_cancel_ends_a_waiting_run_and_says_why(world: World) -> None:
    waiter()
    run = world.engine.start("waiter")

    assert world.engine.cancel(run.id, reason="the guest left") is True

    stored = world.stored(run)
    assert (stored.status, stored.why, stored.wait, stored.next_at) == (
        WorkflowStatus.CANCELLED,
        "the guest left",
        None,
        None,
    )
    world.engine.signal("x")
    assert world.status(run) is WorkflowStatus.CANCELLED


def test_cancel_of_what_has_ended_or_is_unknown_does_nothing(world: World) -> None:
    waiter()
    run = world.engine.start("waiter")
    world.engine.signal("x")

    assert world.engine.cancel(run.id) is False
    assert world.engine.cancel(uuid4()) is False
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_step_that_was_running_when_its_run_was_cancelled_commits_nothing(world: World) -> None:
    world.with_queue()

    @workflow("busy")
    class Busy:
        class Context(BaseModel):
            done: bool = False

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.engine.cancel(run.id))
            world.engine.signal("effect")
            return complete(done=True)

    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.CANCELLED
    assert world.data(run) == {"done": False}
    assert world.storage.signals() == []


def test_a_step_that_raises_after_its_run_was_cancelled_does_not_revive_it(world: World) -> None:
    world.with_queue()

    @workflow("busy")
    class Busy:
        Context = Nothing

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.engine.cancel(run.id))
            raise RuntimeError

    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.CANCELLED


# pause and resume


def test_a_paused_ready_run_is_not_worked_on_until_it_is_resumed(world: World) -> None:
    queue = world.with_queue()
    waiter()
    run = world.engine.start("waiter")
    world.engine.pause(run.id, reason="audit")
    queue.given.clear()

    world.engine.execute_step(run.id)
    world.advance(hours=1)
    stored = world.stored(run)
    assert (stored.status, stored.pause, stored.why) == (WorkflowStatus.PAUSED, Pause.PERSON, "audit")

    world.engine.resume(run.id)
    assert world.status(run) is WorkflowStatus.READY
    assert queue.given == [(run.id, None)]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_reason_is_kept_in_bounds_and_passes_the_projects_filter(world: World, verb: str) -> None:
    waiter()
    run = world.engine.start("waiter")
    world.set_policy(Policy(redact=lambda text: text.replace("Ada", "***")))

    getattr(world.engine, verb)(run.id, reason="Ada asked" + "!" * 100_000)

    assert world.stored(run).why.startswith("*** asked!")
    assert len(world.stored(run).why) == 1000


def test_a_pause_lets_the_running_step_finish_and_keeps_where_it_led(world: World) -> None:
    @workflow("busy")
    class Busy:
        class Context(BaseModel):
            seen: list[str] = []

        @step(start=True)
        def one(self):
            elsewhere(lambda: world.engine.pause(run.id))
            get_context().seen.append("one")
            return goto(self.two)

        @step()
        def two(self):
            get_context().seen.append("two")
            return complete()

    queue = world.with_queue()
    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    stored = world.stored(run)
    assert (stored.status, stored.current_step, stored.data) == (WorkflowStatus.PAUSED, "two", {"seen": ["one"]})
    assert stored.pause_requested is False
    world.engine.resume(run.id)
    world.engine.execute_step(run.id)
    assert world.data(run) == {"seen": ["one", "two"]}
    assert queue.given


def test_a_pause_of_a_running_step_that_ends_the_run_comes_too_late(world: World) -> None:
    world.with_queue()

    @workflow("busy")
    class Busy:
        Context = Nothing

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.engine.pause(run.id))
            return complete()

    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_running_run_that_nobody_paused_is_not_resumed(world: World) -> None:
    refused: list[str] = []

    @workflow("busy")
    class Busy:
        Context = Nothing

        @step(start=True)
        def run(self):
            with pytest.raises(IllegalTransition, match="is not paused: a worker is running it"):
                ContextVars().run(world.engine.resume, run.id)
            refused.append("once")
            return complete()

    world.with_queue()
    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    assert (refused, world.status(run)) == (["once"], WorkflowStatus.COMPLETED)


def test_a_pause_that_is_taken_back_while_the_step_runs_has_no_effect(world: World) -> None:
    world.with_queue()

    @workflow("busy")
    class Busy:
        Context = Nothing

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.engine.pause(run.id))
            elsewhere(lambda: world.engine.resume(run.id))
            assert world.stored(run).why == "a worker is running it"
            return goto(self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED


@pytest.mark.parametrize("ends", ["waits", "raises", "is lost"])
def test_the_reason_of_a_pause_outlasts_the_step_that_was_running(world: World, ends: str) -> None:
    world.with_queue()

    @workflow("held")
    class Held:
        Context = Nothing

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.engine.pause(run.id, reason="ticket 42"))
            assert world.stored(run).why == "ticket 42, once its step has ended"
            if ends == "raises":
                raise RuntimeError("no")
            if ends == "is lost":
                die()
            return wait("x")

    run = world.engine.start("held")
    with contextlib.suppress(Killed):
        world.engine.execute_step(run.id)
    world.advance(seconds=71)

    assert (world.status(run), world.stored(run).why) == (WorkflowStatus.PAUSED, "ticket 42")


def test_a_pause_is_kept_when_the_running_step_raises_or_is_lost(world: World) -> None:
    world.with_queue()

    @workflow("busy")
    class Busy:
        Context = Nothing

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.engine.pause(run.id))
            raise RuntimeError

    run = world.engine.start("busy")
    world.engine.execute_step(run.id)
    stored = world.stored(run)
    assert (stored.status, stored.attempt, stored.wake_at) == (WorkflowStatus.PAUSED, 1, START + timedelta(seconds=1))

    world.engine.resume(run.id)
    assert world.status(run) is WorkflowStatus.WAITING


def test_a_resumed_wait_that_still_stands_waits_on(world: World) -> None:
    waiter(timeout=timedelta(hours=1))
    run = world.engine.start("waiter")
    world.engine.pause(run.id)

    world.engine.resume(run.id)
    stored = world.stored(run)
    assert (stored.status, stored.wake_at) == (WorkflowStatus.WAITING, START + timedelta(hours=1))

    world.engine.signal("x")
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_signal_that_came_while_paused_counts_at_the_resume(world: World) -> None:
    waiter()
    run = world.engine.start("waiter")
    world.engine.pause(run.id)
    world.engine.signal("x", {"n": 3})
    world.sweep()
    assert world.status(run) is WorkflowStatus.PAUSED

    world.engine.resume(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"n": 3}


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (
            lambda: wait("x", key="k", timeout=timedelta(hours=1)),
            "waits for signal 'x' about k until 2030-01-07 10:00:00",
        ),
        (lambda: sleep(timedelta(hours=1)), "sleeps until 2030-01-07 10:00:00 UTC"),
        (lambda: run_child("waiter"), "waits for 1 child to end"),
        (lambda: 1 / 0, "waits for its next attempt"),
    ],
    ids=["wait", "sleep", "children", "retry"],
)
def test_a_resumed_wait_says_again_what_it_is_for(world: World, result: Any, why: str) -> None:
    waiter()

    @workflow("stopped")
    class Stopped:
        Context = Nothing

        @step(start=True)
        def run(self):
            return result()

    run = world.engine.start("stopped")
    world.engine.pause(run.id, reason="audit")
    world.engine.resume(run.id)

    assert world.status(run) is WorkflowStatus.WAITING
    assert world.stored(run).why.startswith(why)


def test_a_deadline_that_passed_while_paused_counts_at_the_resume(world: World) -> None:
    waiter(timeout=timedelta(minutes=1), on_timeout="after")
    run = world.engine.start("waiter")
    world.engine.pause(run.id)
    world.advance(hours=1)
    assert world.status(run) is WorkflowStatus.PAUSED

    world.engine.resume(run.id)

    assert world.history(run)[-1][0] == "after"


def test_resume_of_a_run_that_is_not_paused_is_refused(world: World) -> None:
    waiter()
    run = world.engine.start("waiter")

    with pytest.raises(IllegalTransition, match=r"Resumed cannot move run .* \('waiter'\), which is WAITING: Due, "):
        world.engine.resume(run.id)
    with pytest.raises(UnknownRun):
        world.engine.resume(uuid4())


def test_a_person_cannot_resume_what_lacks_its_code(world: World) -> None:
    world.with_queue()
    waiter()
    run = world.engine.start("waiter")
    registry._versions.clear()
    world.engine.execute_step(run.id)
    world.clock.at += timedelta(seconds=61)
    world.engine.execute_step(run.id)

    with pytest.raises(IllegalTransition, match="goes on by itself when the code is back"):
        world.engine.resume(run.id)


def test_a_verb_that_always_comes_second_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waiter()
    run = world.engine.start("waiter")
    load = world.storage.load
    monkeypatch.setattr(world.storage, "load", lambda run_id: replace(load(run_id), revision=0))

    with pytest.raises(StaleRun, match=r"was moved by others each time that it was looked at. Try again\.$"):
        world.engine.pause(run.id)


# retry


def test_retry_takes_a_failed_run_up_again_where_it_failed(world: World) -> None:
    broken = [True]

    @workflow("mendable", default_retry=Retry(max_attempts=1))
    class Mendable:
        class Context(BaseModel):
            seen: list[str] = []

        @step(start=True)
        def one(self):
            get_context().seen.append("one")
            return goto(self.two)

        @step()
        def two(self):
            if broken[0]:
                raise RuntimeError("not yet")
            get_context().seen.append("two")
            return complete()

    run = world.engine.start("mendable")
    assert world.status(run) is WorkflowStatus.FAILED
    broken[0] = False
    world.with_queue()

    world.engine.retry(run.id)

    live = world.stored(run)
    assert (live.status, live.error, live.finished_at) == (WorkflowStatus.READY, "", None)
    world.engine.execute_step(run.id)
    stored = world.stored(run)
    assert (stored.status, stored.error, stored.data) == (WorkflowStatus.COMPLETED, "", {"seen": ["one", "two"]})


def test_retry_from_another_step(world: World) -> None:
    @workflow("mendable")
    class Mendable:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def one(self):
            get_context().n += 1
            return fail("no") if get_context().n == 1 else complete()

        @step()
        def other(self):
            return goto(self.one)

    run = world.engine.start("mendable")
    with pytest.raises(UsageError, match=r"retry.*'othr', which is not a @step of workflow 'mendable'. Did you mean"):
        world.engine.retry(run.id, from_step="othr")
    world.engine.retry(run.id, from_step="other")

    assert [name for name, _ in world.history(run)] == ["one", "other", "one"]
    with pytest.raises(IllegalTransition, match="which is COMPLETED: nothing can"):
        world.engine.retry(run.id)


def test_retry_goes_on_with_the_visit_that_failed(world: World) -> None:
    """A service that was called with the key must hear the same one; a payload that was merged is not merged again."""
    broken, seen = [True], list[tuple[object, ...]]()

    @workflow("charger", default_retry=Retry(max_attempts=2))
    class Charger:
        class Context(BaseModel):
            amount: int = 0

        @step(start=True)
        def run(self):
            return wait("order", then=self.charge)

        @step()
        def charge(self):
            wake, ctx = get_wake(), get_context()
            seen.append((wake.idempotency_key, wake.kind, wake.cause, wake.attempt, wake.payload, ctx.amount))
            ctx.amount += 1
            if broken[0]:
                raise RuntimeError("the bank is down")
            return complete()

    run = world.engine.start("charger")
    world.engine.signal("order", {"amount": 5})
    world.advance(seconds=1)
    assert world.status(run) is WorkflowStatus.FAILED
    broken[0] = False

    world.engine.retry(run.id)

    key, payload = seen[0][0], {"amount": 5}
    assert seen == [
        (key, "signal", "signal", 1, payload, 5),
        (key, "retry", "signal", 2, payload, 6),
        (key, "retry", "signal", 1, payload, 7),
    ]
    assert world.stored(run).wake is None


@pytest.mark.parametrize(("from_step", "hears"), [(None, True), ("run", False)], ids=["goes on", "begins a visit"])
def test_a_retry_from_a_step_hears_no_broadcast_from_before_it(
    world: World, from_step: str | None, *, hears: bool
) -> None:
    broken = [True]

    @workflow("listener", default_retry=Retry(max_attempts=1))
    class Listener:
        Context = Nothing

        @step(start=True)
        def run(self):
            if broken[0]:
                raise RuntimeError("not yet")
            return wait("x", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("listener")
    world.engine.signal("x")
    broken[0] = False

    world.engine.retry(run.id, from_step=from_step)

    assert world.status(run) is (WorkflowStatus.COMPLETED if hears else WorkflowStatus.WAITING)
    world.engine.signal("x")
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_retry_of_a_visit_that_no_worker_had_begun_merges_its_payload(world: World) -> None:
    world.with_queue()

    @workflow("late", deadline=timedelta(minutes=5))
    class Late:
        class Context(BaseModel):
            amount: int = 0

        @step(start=True)
        def run(self):
            return wait("order", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("late")
    world.engine.execute_step(run.id)
    world.engine.signal("order", {"amount": 5})
    world.advance(minutes=5)
    assert world.status(run) is WorkflowStatus.FAILED

    world.engine.retry(run.id)
    world.engine.execute_step(run.id)

    assert (world.status(run), world.data(run)) == (WorkflowStatus.COMPLETED, {"amount": 5})


def test_a_worker_from_before_the_failure_stores_nothing_after_the_retry(world: World) -> None:
    world.with_queue()
    keys: list[str] = []

    @workflow("frozen")
    class Frozen:
        Context = Nothing

        @step(start=True)
        def run(self):
            keys.append(get_wake().idempotency_key)
            if len(keys) == 1:
                ContextVars().run(meanwhile)
            return fail("no")

    def meanwhile() -> None:
        world.advance(seconds=71)
        world.engine.execute_step(run.id)
        world.engine.retry(run.id)
        with injected("step.before_body", die), pytest.raises(Killed):
            world.engine.execute_step(run.id)

    run = world.engine.start("frozen")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.RUNNING
    assert world.history(run) == [("run", AttemptOutcome.LOST), ("run", AttemptOutcome.FAIL)]
    assert keys[0] == keys[1] == world.stored(run).wake.idempotency_key


# starting


def test_an_unknown_workflow_lists_those_there_are(world: World) -> None:
    waiter("checkout_ops")
    waiter("reindex_listing")

    with pytest.raises(
        UnknownWorkflow,
        match=r"Workflow 'reindex_lsting' is not registered. Did you mean 'reindex_listing'\? "
        "Registered: checkout_ops, reindex_listing.",
    ):
        world.engine.start("reindex_lsting")
    with pytest.raises(UnknownWorkflow, match="is not a workflow"):
        world.engine.start(int)


def test_an_engine_without_storage_says_how_to_get_one(world: World) -> None:
    waiter()
    world.wiring.storage = None

    with pytest.raises(NotConfigured, match=r"The engine has no storage. Add 'automation.workflows' to INSTALLED_APPS"):
        world.engine.start("waiter")


def test_a_start_in_a_rolled_back_transaction_leaves_nothing(world: World) -> None:
    waiter()
    with contextlib.suppress(RuntimeError), world.storage.transaction():
        world.engine.start("waiter")
        raise RuntimeError

    assert world.storage.runs() == []


def test_a_start_inside_a_transaction_runs_after_its_commit(world: World) -> None:
    waiter()
    with world.storage.transaction():
        run = world.engine.start("waiter")
        assert world.status(run) is WorkflowStatus.READY

    assert world.status(run) is WorkflowStatus.WAITING


@pytest.mark.parametrize("has_moved", [False, True])
def test_a_run_key_makes_a_start_idempotent_and_a_difference_is_logged(
    world: World, caplog: pytest.LogCaptureFixture, *, has_moved: bool
) -> None:
    queue = world.with_queue()
    waiter()
    with caplog.at_level(logging.WARNING):
        first = world.engine.start("waiter", run_key="order-7", n=1)
        if has_moved:
            world.engine.execute_step(first.id)
            world.engine.cancel(first.id)
        assert queue.given
        assert world.engine.start("waiter", run_key="order-7", n=1).id == first.id
        assert not caplog.records
        second = world.engine.start("waiter", run_key="order-7", n=2)

    assert (second.id, second.data) == (first.id, world.data(first))
    assert "'order-7' exists and was started with other arguments" in caplog.text
    assert world.engine.start("waiter", run_key="Order-7").id != first.id
    assert len(world.storage.runs()) == 2


@pytest.mark.parametrize(
    "made",
    [
        lambda: datetime(2030, 1, 1),
        lambda: Decimal("1.50"),
        lambda: {"a", "b", "c"},
        lambda: {1: [2, (3,)], "x": None},
        Nothing,
        object,
    ],
)
def test_equal_arguments_are_no_difference_nor_are_those_that_cannot_be_compared(made: Callable[[], Any]) -> None:
    assert arguments_digest({"a": made(), "b": 1}) == arguments_digest({"b": 1, "a": made()})
    assert arguments_digest({"a": made()}) != arguments_digest({"a": [made(), 1]})
    assert arguments_digest({"a": made()}) != arguments_digest({"b": made()})


@pytest.mark.parametrize(("one", "other"), [(1, 2), (1, True), (1, "1"), ([1, 2], [2, 1]), ({1}, {2}), (None, "")])
def test_other_arguments_are_a_difference(one: object, other: object) -> None:
    assert arguments_digest({"a": one}) != arguments_digest({"a": other})


def test_a_run_key_belongs_to_the_workflow_whatever_the_version(world: World) -> None:
    waiter("one")
    waiter_two = "two"
    waiter(waiter_two)

    assert world.engine.start("one", run_key="k").id != world.engine.start("two", run_key="k").id


@pytest.mark.parametrize(("key", "says"), [("", "1 to 255"), ("a" * 256, "1 to 255"), ("a\x00", "contains NUL")])
def test_keys_that_no_database_keeps_are_refused(world: World, key: str, says: str) -> None:
    waiter()
    with pytest.raises(UsageError, match=says):
        world.engine.start("waiter", run_key=key)


def test_create_context_makes_the_context(world: World) -> None:
    @workflow("listing")
    class Listing:
        class Context(BaseModel):
            listing_id: int

        @classmethod
        def create_context(cls, listing_id: int):
            return cls.Context(listing_id=listing_id * 2)

        @step(start=True)
        def run(self):
            return complete()

    assert world.engine.start("listing", listing_id=3).data == {"listing_id": 6}


# versions


def version(number: str, seen: list[str], **options: object) -> None:
    """Define a version of "versioned" whose second step notes the number."""

    class Versioned:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return wait("x", then=self.end)

        @step()
        def end(self):
            seen.append(number)
            return complete()

    Versioned.__qualname__ = f"Versioned{number}"
    workflow("versioned", version=number, **options)(Versioned)  # type: ignore[arg-type]


def test_runs_stay_on_their_version_while_it_is_loaded(world: World) -> None:
    seen: list[str] = []
    version("1", seen)
    old = world.engine.start("versioned")
    version("2", seen, current=True)
    new = world.engine.start("versioned")

    assert (old.version, new.version) == ("1", "2")
    world.engine.signal("x")
    assert sorted(seen) == ["1", "2"]


def test_a_new_version_takes_over_what_it_declares(world: World) -> None:
    seen: list[str] = []
    version("1", seen)
    run = world.engine.start("versioned")
    registry._versions.clear()
    version("2", seen, upgrades=("1",))
    world.engine.signal("x")

    assert seen == ["2"]
    assert world.stored(run).version == "2"


def test_a_new_version_that_declares_nothing_pauses_the_old_runs(world: World) -> None:
    seen: list[str] = []
    version("1", seen)
    run = world.engine.start("versioned")
    registry._versions.clear()
    version("2", seen)
    world.engine.signal("x")
    world.advance(seconds=61)
    world.advance(seconds=61)

    stored = world.stored(run)
    assert (seen, stored.status, stored.version) == ([], WorkflowStatus.PAUSED, "1")
    assert "version '2' does not take it over: declare upgrades=('1',) or upgrade_context" in stored.why


def test_a_new_version_without_the_step_at_which_a_run_stands_pauses_it(world: World) -> None:
    seen: list[str] = []
    version("1", seen)
    run = world.engine.start("versioned")
    registry._versions.clear()

    @workflow("versioned", version="2", upgrades=("1",))
    class Versioned2:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return complete()

    world.engine.signal("x")
    world.advance(seconds=61)
    world.advance(seconds=61)

    stored = world.stored(run)
    assert (stored.status, stored.version, stored.pause) == (WorkflowStatus.PAUSED, "1", Pause.MISSING)
    assert stored.why == "step 'end' is not in version '2' of workflow 'versioned'; its steps are run"

    registry._versions.clear()
    version("2", seen, upgrades=("1",))
    world.advance(minutes=2)
    assert (seen, world.status(run)) == (["2"], WorkflowStatus.COMPLETED)


def test_a_version_that_an_upgrade_does_not_know_is_paused_with_the_reason(world: World) -> None:
    version("1", [])
    run = world.engine.start("versioned")
    registry._versions.clear()

    @workflow("versioned", version="2")
    class Versioned2:
        Context = Nothing

        @classmethod
        def upgrade_context(cls, version, data):
            return None

        @step(start=True)
        def run(self):
            return complete()

        @step()
        def end(self):
            return complete()

    world.engine.signal("x")

    stored = world.stored(run)
    assert (stored.status, stored.pause) == (WorkflowStatus.PAUSED, Pause.CONTEXT)
    assert stored.why == "the stored Context does not fit: upgrade_context refused version '1'"


def test_versions_without_a_current_one_cannot_be_started(world: World) -> None:
    version("1", [])
    version("2", [])

    with pytest.raises(UnknownWorkflow, match="has the versions 1, 2, and none is current"):
        world.engine.start("versioned")


def test_a_run_of_versions_without_a_current_one_says_what_is_missing(world: World) -> None:
    version("1", [])
    run = world.engine.start("versioned")
    registry._versions.clear()
    version("2", [])
    version("3", [])
    world.engine.signal("x")

    assert world.stored(run).why == (
        "version '1' is not in this code. Workflow 'versioned' has the versions 2, 3, and none is current. "
        "Pass current=True to one of them"
    )


def test_an_event_of_versions_without_a_current_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for number in ("1", "2"):
        cls = type(f"Greeting{number}", (), {"Context": Nothing, "run": step(start=True)(lambda self: complete())})
        event_workflow("arrived", name="greeting", version=number)(cls)

    assert registry.triggered_by("arrived", EntityRef(type="hotel.stay", id="1")) == []
    assert registry.triggered_by("departed", EntityRef(type="hotel.stay", id="1")) == []
    assert [record.getMessage() for record in caplog.records] == [
        "Workflow 'greeting' has the versions 1, 2, and none is current. Event 'arrived' starts none of them: "
        "pass current=True to one."
    ]


# deadlines and compensation


def test_a_run_past_its_workflows_deadline_fails(world: World) -> None:
    @workflow("bounded", deadline=timedelta(hours=1))
    class Bounded:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", timeout=timedelta(hours=5))

    run = world.engine.start("bounded")
    world.advance(minutes=59)
    assert world.status(run) is WorkflowStatus.WAITING

    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.FAILED
    assert world.stored(run).error == "The workflow's deadline, 2030-01-07 10:00:00 UTC, passed at 'run'."


def meeting(log: list[str], minutes: int = 5) -> None:
    """A workflow whose own deadline is after five minutes, with a wait that ends together with it."""

    @workflow("meeting", deadline=timedelta(minutes=5))
    class Meeting:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("guest", timeout=timedelta(minutes=minutes), on_timeout=self.timed_out, then=self.timed_out)

        @step()
        def timed_out(self):
            log.append("timed out")
            return complete()

        @on_fail
        def undo(self):
            log.append("undone")


def test_a_worker_that_comes_first_at_the_deadline_fails_the_run(world: World) -> None:
    """The timer's hint takes a WAITING run without a sweep before it."""
    log: list[str] = []
    world.with_queue()
    meeting(log)
    run = world.engine.start("meeting")
    world.engine.execute_step(run.id)
    world.clock.at += timedelta(minutes=5)

    world.engine.execute_step(run.id)
    world.engine.execute_step(run.id)

    assert (log, world.status(run)) == (["undone"], WorkflowStatus.FAILED)
    assert world.stored(run).error == "The workflow's deadline, 2030-01-07 09:05:00 UTC, passed at 'run'."
    assert world.stored(run).current_step == "run"


@pytest.mark.parametrize(
    ("timeout", "looked_at", "outcome"),
    [(4, 4, "timed out"), (4, 5, "undone"), (5, 5, "undone"), (6, 5, "undone"), (6, 6, "undone")],
    ids=["wait first", "both are over", "together", "deadline first", "deadline first, both are over"],
)
@pytest.mark.parametrize("who", ["sweep", "worker", "resume"])
def test_a_deadline_that_has_passed_wins_over_the_end_of_a_wait(
    world: World, who: str, timeout: int, looked_at: int, outcome: str
) -> None:
    log: list[str] = []
    world.with_queue()
    meeting(log, timeout)
    run = world.engine.start("meeting")
    world.engine.execute_step(run.id)
    if who == "resume":
        world.engine.pause(run.id)
    world.clock.at += timedelta(minutes=looked_at)

    match who:
        case "sweep":
            world.engine.process_scheduled()
        case "resume":
            world.engine.resume(run.id)
    for _ in range(2):
        world.engine.execute_step(run.id)

    assert log == [outcome]
    assert world.stored(run).finished_at is not None


@pytest.mark.parametrize("meanwhile", ["nothing", "a signal"])
def test_a_run_that_is_resumed_after_its_deadline_fails(world: World, meanwhile: str) -> None:
    log: list[str] = []
    meeting(log)
    run = world.engine.start("meeting")
    world.engine.pause(run.id)
    if meanwhile == "a signal":
        world.engine.signal("guest")
    world.advance(minutes=6)
    assert world.status(run) is WorkflowStatus.PAUSED

    world.engine.resume(run.id)

    assert (log, world.status(run)) == (["undone"], WorkflowStatus.FAILED)
    assert world.stored(run).current_step == "run"


def test_a_worker_without_the_code_leaves_a_run_past_its_deadline_to_one_that_has_it(world: World) -> None:
    log: list[str] = []
    world.with_queue()
    meeting(log)
    run = world.engine.start("meeting")
    world.engine.execute_step(run.id)
    world.clock.at += timedelta(minutes=5)
    with without_code():
        world.engine.execute_step(run.id)
        world.advance(minutes=2)
        world.engine.execute_step(run.id)
    assert world.status(run) is WorkflowStatus.WAITING

    world.advance(minutes=2)
    world.engine.execute_step(run.id)

    assert (log, world.status(run)) == (["undone"], WorkflowStatus.FAILED)


@contextlib.contextmanager
def without_code() -> Iterator[None]:
    """Be a worker from before the deploy."""
    known = dict(registry._versions)
    registry._versions.clear()
    try:
        yield
    finally:
        registry._versions.update(known)


def test_a_deadline_ends_a_run_that_never_pauses(world: World) -> None:
    @workflow("bounded", deadline=timedelta(seconds=5))
    class Bounded:
        Context = Nothing

        @step(start=True)
        def run(self):
            world.clock.at += timedelta(seconds=1)
            if world.clock.at > START + timedelta(minutes=1):
                pytest.fail("nothing ends it")
            return goto(self.run)

    run = world.engine.start("bounded")

    assert world.status(run) is WorkflowStatus.FAILED


def test_a_step_that_ends_at_the_deadline_is_the_last(world: World) -> None:
    log: list[str] = []

    @workflow("punctual", deadline=timedelta(seconds=5))
    class Punctual:
        Context = Nothing

        @step(start=True)
        def run(self):
            world.clock.at += timedelta(seconds=5)
            return goto(self.other)

        @step()
        def other(self):
            log.append("too late")
            return complete()

    run = world.engine.start("punctual")

    assert (log, world.status(run)) == ([], WorkflowStatus.FAILED)


@pytest.mark.parametrize("stands", ["new", "waits", "sleeps", "will retry", "woken", "resumed"])
def test_a_deadline_is_met_by_the_sweep_wherever_the_run_stands(world: World, stands: str) -> None:
    """It comes before whatever the run was to be looked at for."""
    world.with_queue()
    hour = timedelta(hours=1)

    @workflow("bounded", deadline=timedelta(seconds=5), default_retry=Retry(base_delay=hour, max_delay=hour))
    class Bounded:
        Context = Nothing

        @step(start=True)
        def run(self):
            match stands:
                case "sleeps":
                    return sleep(hour)
                case "will retry":
                    raise RuntimeError("no")
                case _:
                    return wait("x", timeout=hour)

    run = world.engine.start("bounded")
    if stands != "new":
        world.engine.execute_step(run.id)
    if stands == "woken":
        world.engine.signal("x")
    if stands == "resumed":
        world.engine.pause(run.id)
        world.engine.resume(run.id)
    world.clock.at += timedelta(seconds=5)

    world.engine.process_scheduled()

    assert world.status(run) is WorkflowStatus.FAILED


def compensated(retry: Retry | None = None, ending: object = None, log: list[object] | None = None) -> None:
    """Define "charged", which fails in its second step and has an @on_fail."""
    noted: list[object] = [] if log is None else log

    @workflow("charged", default_retry=Retry(max_attempts=2))
    class Charged:
        class Context(BaseModel):
            charged: bool = False
            refunded: bool = False

        @step(start=True)
        def charge(self):
            get_context().charged = True
            return goto(self.ship)

        @step()
        def ship(self):
            raise RuntimeError("no stock")

        @on_fail(retry=retry)
        def refund(self):
            wake = get_wake()
            noted.append((wake.cause, wake.payload, wake.attempt))
            get_context().refunded = True
            if isinstance(ending, Exception):
                raise ending
            return ending


def test_on_fail_runs_once_and_the_run_ends_failed_with_the_original_error(world: World) -> None:
    log: list[object] = []
    compensated(log=log)
    run = world.engine.start("charged")
    assert log == []
    world.advance(seconds=1)

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.FAILED
    assert stored.error.startswith("RuntimeError: no stock")
    assert stored.data == {"charged": True, "refunded": True}
    assert stored.current_step == "ship"
    assert log == [("failure", {"step": "ship", "error": "RuntimeError: no stock"}, 1)]


@pytest.mark.parametrize("ending", [complete(refunded=True), fail("cannot refund")], ids=["complete", "fail"])
def test_however_on_fail_ends_the_run_is_failed(world: World, ending: object) -> None:
    compensated(ending=ending)
    run = world.engine.start("charged")
    world.advance(seconds=1)

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.FAILED
    assert ("@on_fail failed as well: cannot refund" in stored.error) is (ending == fail("cannot refund"))


def test_on_fail_is_retried_like_a_step(world: World) -> None:
    log: list[object] = []
    compensated(retry=Retry(max_attempts=3), ending=RuntimeError("bank is down"), log=log)
    run = world.engine.start("charged")
    for seconds in (1, 1, 2):
        world.advance(seconds=seconds)

    stored = world.stored(run)
    assert len(log) == 3
    assert stored.error.startswith("RuntimeError: no stock")
    assert "@on_fail failed as well: RuntimeError: bank is down" in stored.error


@pytest.mark.parametrize("result", [goto("ship"), sleep(timedelta(1)), wait("x"), "yes"])
def test_on_fail_may_not_go_anywhere(world: World, result: object) -> None:
    compensated(ending=result)
    run = world.engine.start("charged")
    world.advance(seconds=1)

    says = f"returned {type(result).__name__}. It returns nothing, complete(...) or fail(...)"
    assert says in world.stored(run).error


def test_retry_after_compensation_begins_at_the_step_that_failed(world: World) -> None:
    compensated()
    run = world.engine.start("charged")
    world.advance(seconds=1)

    world.engine.retry(run.id)

    assert [name for name, _ in world.history(run)] == ["charge", "ship", "ship", "refund", "ship"]


def test_on_fail_runs_after_fail_deadline_and_poison_as_well(world: World) -> None:
    seen: list[str] = []

    @workflow("bounded", deadline=timedelta(minutes=1))
    class Bounded:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x")

        @on_fail
        def undo(self):
            seen.append(get_wake().payload["error"])

    run = world.engine.start("bounded")
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.FAILED
    assert seen == ["The workflow's deadline, 2030-01-07 09:01:00 UTC, passed at 'run'."]


def test_cancel_does_not_compensate(world: World) -> None:
    log: list[object] = []
    compensated(log=log)
    run = world.engine.start("charged")
    world.engine.cancel(run.id)
    world.advance(minutes=1)

    assert log == []


# why


@pytest.mark.parametrize("status", ["ready", "waiting", "sleeping", "retrying", "paused"])
def test_every_run_that_is_not_moving_says_why_and_until_when(world: World, status: str) -> None:
    world.with_queue()

    @workflow("any")
    class AnyState:
        Context = Nothing

        @step(start=True)
        def run(self):
            match status:
                case "waiting":
                    return wait("x", timeout=timedelta(minutes=1), key="7")
                case "sleeping":
                    return sleep(timedelta(minutes=1))
                case "retrying":
                    raise RuntimeError("no")
                case _:
                    return complete()

    run: Run = world.engine.start("any")
    if status == "paused":
        world.engine.pause(run.id, reason="audit")
    elif status != "ready":
        world.engine.execute_step(run.id)

    assert (
        world.stored(run).why
        == {
            "ready": "ready for a worker",
            "waiting": "waits for signal 'x' about 7 until 2030-01-07 09:01:00 UTC",
            "sleeping": "sleeps until 2030-01-07 09:01:00 UTC",
            "retrying": "attempt 2 at 2030-01-07 09:00:01 UTC, after RuntimeError: no",
            "paused": "audit",
        }[status]
    )


def test_a_run_that_moves_says_so_and_not_what_it_waited_for(world: World) -> None:
    world.with_queue()
    told: list[str] = []

    @workflow("moving")
    class Moving:
        Context = Nothing

        @step(start=True)
        def run(self):
            told.append(world.stored(run).why)
            return wait("x", then=self.woken)

        @step()
        def woken(self):
            told.append(world.stored(run).why)
            return goto(self.end)

        @step()
        def end(self):
            told.append(world.stored(run).why)
            return complete()

    run: Run = world.engine.start("moving")
    world.engine.execute_step(run.id)
    world.engine.signal("x")
    assert world.stored(run).why == "ready for a worker"
    world.engine.execute_step(run.id)

    assert told == ["a worker is running it"] * 3
    assert world.stored(run).why == ""


def test_a_sweep_that_is_told_to_stop_leaves_the_rest_to_the_next(world: World):
    """A queue ends tasks that take too long; the sweep must end before that."""

    @workflow("napper")
    class Napper:
        class Context(BaseModel):
            pass

        @step(start=True)
        def nap(self):
            return sleep(timedelta(minutes=1), then=self.rise)

        @step()
        def rise(self):
            return complete()

    runs = [world.engine.start("napper") for _ in range(5)]
    world.clock.at += timedelta(minutes=1)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    first = world.engine.process_scheduled(stop=stop)
    second = world.engine.process_scheduled()

    assert (first["woken"], second["woken"]) == (2, 3)
    assert (first["more"], second["more"]) == (True, False)
    assert {world.status(run) for run in runs} == {WorkflowStatus.COMPLETED}


def nappers(world: World, count: int) -> list[Run]:
    """Put runs to sleep for a minute."""

    @workflow("dozer")
    class Dozer:
        class Context(BaseModel):
            pass

        @step(start=True)
        def nap(self):
            return sleep(timedelta(minutes=1), then=self.rise)

        @step()
        def rise(self):
            return complete()

    return [world.engine.start("dozer") for _ in range(count)]


def test_a_sweep_that_reaches_its_limit_says_that_there_is_more(world: World):
    nappers(world, 5)
    world.clock.at += timedelta(minutes=1)

    swept = [world.engine.process_scheduled(2) for _ in range(3)]

    assert [(done["woken"], done["more"]) for done in swept] == [(2, True), (2, True), (1, False)]


def test_a_broadcast_that_reaches_the_limit_says_that_there_is_more(world: World):
    """Whoever sweeps goes on at once, and four thousand waiters do not wait for four sweeps."""

    @workflow("listener")
    class Listener:
        class Context(BaseModel):
            pass

        @step(start=True)
        def listen(self):
            return wait("go", then=self.heard)

        @step()
        def heard(self):
            return complete()

    world.set_policy(Policy(inline_delivery=1))
    for _ in range(5):
        world.engine.start("listener")
    world.engine.signal("go")

    swept = [world.engine.process_scheduled(3) for _ in range(2)]

    assert [(done["delivered"], done["more"]) for done in swept] == [(3, True), (1, False)]


def test_runs_that_cannot_be_moved_are_no_reason_to_sweep_at_once(world: World, monkeypatch: pytest.MonkeyPatch):
    """They may be the same ones again: the sweep would go round and round."""
    nappers(world, 2)
    world.clock.at += timedelta(minutes=1)
    monkeypatch.setattr(world.engine._sweeper, "_row", lambda run: 1 / 0)

    done = world.engine.process_scheduled(2)

    assert (done["errors"], done["more"]) == (2, False)


def test_timers_are_given_to_more_runs_than_one_sweep_wakes(world: World):
    """All check in at three o'clock: whoever gets no timer wakes with the sweep, up to a minute late."""
    nappers(world, 5)
    queue = world.with_queue()

    world.engine.process_scheduled(2)

    assert len({run_id for run_id, run_after in queue.given if run_after is not None}) == 5


@pytest.mark.parametrize(("seconds", "given"), [(0.05, True), (5, True), (6, False)])
def test_a_timer_that_comes_early_is_repeated(world: World, seconds: float, given: bool):
    """The clock of the machine that kept it is ahead: dropped, the run would wake with the sweep."""
    (run,) = nappers(world, 1)
    world.clock.at += timedelta(minutes=1) - timedelta(seconds=seconds)
    queue = world.with_queue()

    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.WAITING
    assert queue.given == ([(run.id, START + timedelta(minutes=1))] if given else [])
