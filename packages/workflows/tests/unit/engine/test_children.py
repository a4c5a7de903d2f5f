"""Children: started with the step, joined when all have ended, told of on every path."""

import re
from contextvars import Context as ContextVars
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from automation.workflows.core import (
    EntityRef,
    Retry,
    WorkflowStatus,
    complete,
    fail,
    get_context,
    get_wake,
    goto,
    on_fail,
    run_child,
    run_children,
    step,
    wait,
    workflow,
)
from automation.workflows.errors import UsageError
from automation.workflows.ports import Policy
from automation.workflows.runs.values import AttemptOutcome, Run
from tests.unit.world import World

HOW: dict[str, Any] = {}


class Killed(BaseException):
    is_simulated_crash = True


def family(
    *,
    fan: list[dict[str, Any]] | None = None,
    deadline: timedelta | None = None,
    child_deadline: timedelta | None = None,
) -> None:
    """Define "child", which ends as it is told, and "parent", which waits for one or several."""

    @workflow("child", default_retry=Retry(max_attempts=1), deadline=child_deadline)
    class Child:
        class Context(BaseModel):
            how: str = "complete"
            n: int = 0

        @step(start=True)
        def run(self):
            match get_context().how:
                case "complete":
                    return complete(answer=get_context().n * 2)
                case "fail":
                    return fail("no")
                case "raise":
                    raise RuntimeError("oh")
                case "die":
                    raise Killed
                case "bad":
                    return None
                case _:
                    return wait("go", then=self.end)

        @step()
        def end(self):
            return complete(answer=get_context().n * 3)

    @workflow("parent", deadline=deadline)
    class Parent:
        class Context(BaseModel):
            how: str = "complete"
            heard: list[dict[str, Any]] = []

        @step(start=True)
        def run(self):
            if fan is not None:
                return run_children([run_child("child", **kwargs) for kwargs in fan], then=self.after)
            return run_child(Child, then=self.after, how=get_context().how, n=7)

        @step()
        def after(self):
            get_context().heard = get_wake().payload["children"]
            return complete()


def children(world: World) -> list[Run]:
    return [run for run in world.storage.runs() if run.name == "child"]


def heard(world: World, run: Run) -> list[tuple[str, Any, str]]:
    entries: Any = world.data(run)["heard"]
    return [(entry["status"], entry["result"], entry["error"]) for entry in entries]


def test_a_child_is_about_what_its_parent_is_about(world: World) -> None:
    family()
    world.with_queue()
    run = world.engine.start("parent", how="wait")
    entity = EntityRef(type="app.parcel", id="7")
    world.storage._tables.runs[run.id] = replace(world.stored(run), entity=entity)

    world.engine.execute_step(run.id)

    assert [child.entity for child in children(world)] == [entity]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("complete", ("completed", {"answer": 14}, "")),
        ("fail", ("failed", None, "no")),
        ("raise", ("failed", None, "RuntimeError: oh")),
        ("bad", ("failed", None, "ProgrammingError: Step 'run' of workflow 'child' returned None")),
    ],
)
def test_a_child_that_ends_is_told_to_its_parent(world: World, how: str, told: tuple[str, Any, str]) -> None:
    family()
    run = world.engine.start("parent", how=how)

    status, result, error = heard(world, run)[0]
    assert (status, result) == told[:2]
    assert error.startswith(told[2])
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_cancelled_child_is_told_to_its_parent(world: World) -> None:
    family()
    run = world.engine.start("parent", how="wait")
    world.engine.cancel(children(world)[0].id)

    assert heard(world, run) == [("cancelled", None, "")]


def test_a_child_that_passes_its_own_deadline_is_told_to_its_parent(world: World) -> None:
    family(child_deadline=timedelta(minutes=1))
    run = world.engine.start("parent", how="wait")
    world.advance(minutes=1)

    ((status, result, error),) = heard(world, run)
    assert (status, result) == ("failed", None)
    assert error.startswith("The workflow's deadline")


def test_a_child_that_compensates_is_told_once_when_it_has(world: World) -> None:
    released: list[int] = []

    @workflow("careful", default_retry=Retry(max_attempts=1))
    class Careful:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            raise RuntimeError("oh")

        @on_fail
        def release(self):
            released.append(len(world.storage.signals()))
            return complete()

    @workflow("parent_of_careful")
    class ParentOfCareful:
        class Context(BaseModel):
            heard: list[dict[str, Any]] = []

        @step(start=True)
        def run(self):
            return run_child(Careful, then=self.after)

        @step()
        def after(self):
            get_context().heard = get_wake().payload["children"]
            return complete()

    run = world.engine.start("parent_of_careful")

    assert released == [0], "its parent is told when it has released what it held"
    assert [(status, error) for status, _, error in heard(world, run)] == [("failed", "RuntimeError: oh")]


def test_a_poisoned_child_is_told_to_its_parent(world: World) -> None:
    world.with_queue()
    family()
    run = world.engine.start("parent", how="die")
    world.engine.execute_step(run.id)
    child = children(world)[0]
    for _ in range(5):
        with pytest.raises(Killed):
            world.engine.execute_step(child.id)
        world.advance(seconds=71)
    world.engine.execute_step(run.id)

    assert heard(world, run)[0][0] == "failed"


def test_a_join_waits_for_the_last_and_keeps_the_order_of_starting(world: World) -> None:
    family(fan=[{"n": 1}, {"n": 2, "how": "wait"}, {"n": 3, "how": "fail"}])
    run = world.engine.start("parent")
    stored = world.stored(run)
    assert (stored.status, stored.children_pending) == (WorkflowStatus.WAITING, 1)
    assert stored.why == "waits for 1 child to end"

    world.engine.signal("go")

    assert heard(world, run) == [
        ("completed", {"answer": 2}, ""),
        ("completed", {"answer": 6}, ""),
        ("failed", None, "no"),
    ]


def test_a_join_of_nobody_goes_on_at_once(world: World) -> None:
    family(fan=[])
    run = world.engine.start("parent")

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_join_of_two_hundred(world: World) -> None:
    family(fan=[{"n": n} for n in range(200)])
    run = world.engine.start("parent")

    assert [entry["result"]["answer"] for entry in world.data(run)["heard"]] == [n * 2 for n in range(200)]


@pytest.mark.parametrize("compensates", [False, True])
def test_what_children_give_back_that_fits_no_row_together_fails_their_parent(
    world: World, *, compensates: bool
) -> None:
    """Alike on every database: one that takes it all is no reason for a run that another could not store."""
    family(fan=[{"n": number} for number in range(20)])
    world.set_policy(Policy(children_bytes=2000))
    undone: list[str] = []

    @workflow("greedy")
    class Greedy:
        class Context(BaseModel):
            pass

        @step(start=True)
        def run(self):
            return run_children([("child", {"n": number}) for number in range(20)], then=self.end)

        @step()
        def end(self):
            raise AssertionError("goes on without what it waited for")

        if compensates:

            @on_fail
            def undo(self):
                undone.append(get_wake().payload["error"])

    run = world.engine.start("greedy")
    world.sweep()

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.FAILED
    says = r"What 20 children gave back takes \d{4} bytes of JSON together, over 2000 \(.*CHILDREN_BYTES.*return ids"
    assert re.search(says, stored.error)
    assert len(undone) == compensates
    assert not world.storage.mailbox.undelivered(10)


def test_cancelling_the_parent_cancels_the_children_that_are_out(world: World) -> None:
    family(fan=[{"n": 1}, {"how": "wait"}, {"how": "wait"}])
    run = world.engine.start("parent")

    world.engine.cancel(run.id, reason="the guest left")

    assert sorted((child.status, child.why) for child in children(world)) == [
        *[("cancelled", f"its parent {run.id} went on without it")] * 2,
        ("completed", ""),
    ]
    assert (world.status(run), world.stored(run).why) == (WorkflowStatus.CANCELLED, "the guest left")


def test_grandchildren_are_cancelled_too(world: World) -> None:
    family()

    @workflow("grandparent")
    class Grandparent:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return run_child("parent", how="wait")

    run = world.engine.start("grandparent")
    assert len(world.storage.runs()) == 3

    world.engine.cancel(run.id)

    assert {each.status for each in world.storage.runs()} == {WorkflowStatus.CANCELLED}


def test_three_hundred_generations_are_cancelled_without_recursion(world: World) -> None:
    world.with_queue()

    @workflow("elder")
    class Elder:
        class Context(BaseModel):
            younger: int

        @step(start=True)
        def run(self):
            younger = get_context().younger
            return run_child("elder", younger=younger - 1) if younger else wait("nothing")

    eldest = world.engine.start("elder", younger=300)
    for _ in range(301):
        ready = next(run for run in world.storage.runs() if run.status is WorkflowStatus.READY)
        world.engine.execute_step(ready.id)

    world.engine.cancel(eldest.id)

    assert [run.status for run in world.storage.runs()] == [WorkflowStatus.CANCELLED] * 301
    assert not world.storage.signals(), "none of them tells the one that called it off"


def test_a_child_that_failed_and_lives_again_is_cancelled_with_its_parent(world: World) -> None:
    family(fan=[{"how": "fail"}, {"how": "wait"}])
    run = world.engine.start("parent")
    failed = next(child for child in children(world) if child.status is WorkflowStatus.FAILED)
    world.with_queue()
    world.engine.retry(failed.id)

    world.engine.cancel(run.id)

    assert [child.status for child in children(world)] == [WorkflowStatus.CANCELLED] * 2


@pytest.mark.parametrize(
    ("returns", "ends"),
    [
        (complete, WorkflowStatus.COMPLETED),
        (lambda: goto("end"), WorkflowStatus.CANCELLED),
        (lambda: wait("nothing"), WorkflowStatus.CANCELLED),
        (lambda: run_child("child", how="wait"), WorkflowStatus.CANCELLED),
    ],
    ids=["complete", "goto", "wait", "children"],
)
@pytest.mark.parametrize("generations", [1, 2])
@pytest.mark.parametrize("ids", [range(1, 100), range(100, 1, -1)], ids=["elders first", "youngest first"])
def test_a_child_that_cancels_who_waits_for_it_ends_with_what_it_did(
    world: World, returns: Any, ends: WorkflowStatus, generations: int, ids: range
) -> None:
    """The cascade comes back to the run whose step is being stored: it must neither undo the step nor be undone.

    What a step orders is done in the order of ids, so either the order or the step's own move is first.
    """
    world.with_queue()
    family()
    numbers = iter(ids)
    world.wiring.new_id = lambda: UUID(int=next(numbers))

    @workflow("elder")
    class Elder:
        class Context(BaseModel):
            generations: int

        @step(start=True)
        def run(self):
            younger = get_context().generations - 1
            return run_child("elder", generations=younger) if younger else run_child("rebel")

    @workflow("rebel")
    class Rebel:
        class Context(BaseModel):
            acted: bool = False

        @step(start=True)
        def run(self):
            get_context().acted = True
            world.engine.signal("free at last")
            world.engine.cancel(eldest.id)
            return returns()

        @step()
        def end(self):
            raise AssertionError("it was cancelled")

    eldest = world.engine.start("elder", generations=generations)
    for _ in range(generations):
        for run in world.storage.runs():
            world.engine.execute_step(run.id)
    (rebel,) = (run for run in world.storage.runs() if run.name == "rebel")
    world.engine.execute_step(rebel.id)

    elders = [run for run in world.storage.runs() if run.name == "elder"]
    assert [run.status for run in elders] == [WorkflowStatus.CANCELLED] * generations
    assert (world.status(rebel), world.data(rebel)) == (ends, {"acted": True})
    reason = f"its parent {rebel.parent_id} went on without it"
    assert world.stored(rebel).why == (reason if ends is WorkflowStatus.CANCELLED else "")
    assert len(world.attempts(rebel)) == 1
    assert "free at last" in [signal.name for signal in world.storage.signals()]
    assert [run.status for run in children(world) if run.name == "child"] in ([], [WorkflowStatus.CANCELLED])


def test_a_deadline_of_the_parent_cancels_the_children(world: World) -> None:
    family(fan=[{"how": "wait"}], deadline=timedelta(minutes=1))
    run = world.engine.start("parent")
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.FAILED
    assert children(world)[0].status is WorkflowStatus.CANCELLED


def test_a_step_that_raises_or_is_rolled_back_starts_no_child(world: World) -> None:
    world.with_queue()
    family()

    @workflow("cancelled_meanwhile")
    class CancelledMeanwhile:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            ContextVars().run(lambda: world.engine.cancel(run.id))
            return run_child("child")

    run = world.engine.start("cancelled_meanwhile")
    world.engine.execute_step(run.id)

    assert children(world) == []


def test_children_that_ended_while_the_parent_was_paused_are_heard_at_the_resume(world: World) -> None:
    family(fan=[{"n": 1, "how": "wait"}, {"n": 2, "how": "wait"}])
    run = world.engine.start("parent")
    world.engine.pause(run.id)
    world.engine.signal("go")
    assert world.status(run) is WorkflowStatus.PAUSED

    world.engine.resume(run.id)

    assert [entry[1] for entry in heard(world, run)] == [{"answer": 3}, {"answer": 6}]


def test_a_child_that_ended_twice_while_the_parent_was_paused_hides_no_other_child(world: World) -> None:
    """Each end is told: there may be more of them than children."""
    world.with_queue()
    family(fan=[{"n": 1, "how": "fail"}, {"n": 2}])
    run = world.engine.start("parent")
    world.engine.execute_step(run.id)
    world.engine.pause(run.id)
    failing, completing = sorted(children(world), key=lambda child: str(child.data))[::-1]
    for _ in range(2):
        world.engine.execute_step(failing.id)
        world.engine.retry(failing.id)
    world.engine.execute_step(completing.id)
    assert world.status(completing) is WorkflowStatus.COMPLETED

    world.engine.resume(run.id)
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert [entry[0] for entry in heard(world, run)] == ["failed", "completed"]


def test_a_child_that_failed_and_is_retried_later_does_not_wake_its_parent_twice(world: World) -> None:
    family(fan=[{"how": "fail"}, {"how": "wait"}])
    run = world.engine.start("parent")
    failed = next(child for child in children(world) if child.status is WorkflowStatus.FAILED)
    world.engine.retry(failed.id)
    assert world.stored(run).children_pending == 1

    world.engine.signal("go")
    world.engine.retry(failed.id)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_child_that_fails_again_and_again_never_stands_for_another(world: World) -> None:
    """Three ends have been told, of one child out of three: the count of those that are out is made anew."""
    family(fan=[{"how": "fail"}, {"how": "wait", "n": 1}, {"how": "wait", "n": 2}])
    run = world.engine.start("parent")
    failed = next(child for child in children(world) if child.status is WorkflowStatus.FAILED)

    for _ in range(2):
        world.engine.retry(failed.id)

    stored = world.stored(run)
    assert (stored.status, stored.children_pending) == (WorkflowStatus.WAITING, 2)
    assert stored.why == "waits for 2 children to end"
    world.engine.signal("go")
    assert [entry[0] for entry in heard(world, run)] == ["failed", "completed", "completed"]


@pytest.mark.parametrize("batch", [1, 2])
def test_an_end_is_heard_once_however_small_the_batches_are(world: World, batch: int) -> None:
    world.set_policy(Policy(batch=batch))
    world.with_queue()
    family(fan=[{"n": n} for n in range(3)])
    run = world.engine.start("parent")
    world.engine.execute_step(run.id)

    for pending, child in zip((2, 1, 0), children(world), strict=True):
        world.engine.execute_step(child.id)
        assert world.stored(run).children_pending == pending


def test_an_end_that_is_delivered_twice_never_stands_for_another(world: World) -> None:
    """Two deliveries at once may both wake by it; the parent goes on when all have ended, and not before."""
    world.with_queue()
    family(fan=[{"n": 1}, {"n": 2}])
    run = world.engine.start("parent")
    world.engine.execute_step(run.id)
    first, second = children(world)
    world.engine.execute_step(first.id)
    (end,) = world.storage.signals()

    world.engine._sweeper._postman._batch([end], 10)

    assert (world.status(run), world.stored(run).children_pending) == (WorkflowStatus.WAITING, 1)
    world.engine.execute_step(second.id)
    world.engine.execute_step(run.id)
    assert [entry[1] for entry in heard(world, run)] == [{"answer": 2}, {"answer": 4}]


def test_a_parent_with_on_fail_hears_first_and_fails_after(world: World) -> None:
    seen: list[str] = []

    @workflow("strict")
    class Strict:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return run_child("child", then=self.after, how="fail")

        @step()
        def after(self):
            return fail("; ".join(child["error"] for child in get_wake().payload["children"]))

        @on_fail
        def undo(self):
            seen.append("undone")

    family()
    run = world.engine.start("strict")

    assert world.stored(run).error == "no"
    assert seen == ["undone"]


def test_too_many_children_are_a_raise_of_the_step(world: World) -> None:
    family(fan=[{}] * 1001)
    run = world.engine.start("parent")

    assert world.history(run) == [("run", AttemptOutcome.RETRY)]
    assert "asks for 1001 runs; a step may start 1000" in world.attempts(run)[0].detail
    assert world.stored(run).lost_claims == 0


def test_a_step_may_start_as_many_children_as_the_limit_says(world: World) -> None:
    world.set_policy(Policy(starts_per_step=3))
    family(fan=[{}] * 3)
    run = world.engine.start("parent")

    assert len(heard(world, run)) == 3


@pytest.mark.parametrize("given", [3, None, {"a": 1}])
def test_run_children_says_what_it_takes(given: object) -> None:
    with pytest.raises(UsageError, match="Give run_child"):
        run_children([given])  # type: ignore[list-item]


def test_run_children_takes_classes_names_and_pairs(world: World) -> None:
    family()

    @workflow("mixed")
    class Mixed:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return run_children(["child", ("child", {"n": 4}), run_child("child", n=5)], then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("mixed")

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert sorted(child.data["n"] for child in children(world) if child.data) == [0, 4, 5]
    assert {child.parent_id for child in children(world)} == {run.id}


@pytest.mark.parametrize(
    ("child", "told"),
    [
        (("nobody", {}), "Workflow 'nobody' is not registered"),
        (("child", {"n": "many"}), "n: Input should be a valid integer"),
        (("stillborn", {}), "RuntimeError: no context today"),
    ],
    ids=["unknown", "arguments that do not fit", "create_context that raises"],
)
def test_a_child_that_cannot_be_made_is_one_attempt_and_no_lost_worker(world: World, child: Any, told: str) -> None:
    family()

    @workflow("stillborn")
    class Stillborn:
        Context = type("Context", (BaseModel,), {})

        @classmethod
        def create_context(cls):
            raise RuntimeError("no context today")

        @step(start=True)
        def run(self):
            return complete()

    @workflow("lonely", default_retry=Retry(max_attempts=1))
    class Lonely:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return run_children([child])

    run = world.engine.start("lonely")

    assert world.status(run) is WorkflowStatus.FAILED
    assert told in world.stored(run).error
    assert world.history(run) == [("run", AttemptOutcome.EXHAUSTED)]
    assert world.stored(run).lost_claims == 0
    assert children(world) == []
