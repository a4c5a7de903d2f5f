"""Workers that die, are frozen, come back too late; storages that fail; code that is missing."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import Context
from datetime import timedelta

import pytest
from pydantic import BaseModel, field_validator

from automation.workflows.authoring.registry import registry
from automation.workflows.core import (
    Retry,
    WorkflowStatus,
    complete,
    get_context,
    get_wake,
    goto,
    heartbeat,
    step,
    wait,
    workflow,
)
from automation.workflows.engine.faults import POINTS, injected, install
from automation.workflows.errors import ClaimLost, StaleRun, UsageError
from automation.workflows.ports import Policy
from automation.workflows.runs.transition import Transition
from automation.workflows.runs.values import AttemptOutcome, Pause, Run
from tests.unit.world import World


class Nothing(BaseModel):
    """A Context without fields."""


class Killed(BaseException):
    """As `kill -9`: nothing of ours runs after it."""

    is_simulated_crash = True


def die() -> None:
    raise Killed


def elsewhere(act: Callable[[], object]) -> None:
    """Act as another process: not inside the step that is running here."""
    Context().run(act)


def two_steps(world: World) -> None:
    @workflow("two")
    class Two:
        class Context(BaseModel):
            seen: list[str] = []

        @step(start=True)
        def one(self):
            get_context().seen.append("one")
            world.engine.signal("effect-one")
            return goto(self.two)

        @step()
        def two(self):
            get_context().seen.append("two")
            world.engine.signal("effect-two")
            return complete()


@pytest.mark.parametrize(
    "point",
    [
        "claim.before_commit",
        "claim.after_commit",
        "step.before_body",
        "step.after_body",
        "finish.before_apply",
        "finish.before_commit",
        "finish.after_commit",
    ],
)
def test_a_worker_killed_at_any_point_loses_and_doubles_nothing(world: World, point: str) -> None:
    world.with_queue()
    two_steps(world)
    run = world.engine.start("two")

    with injected(point, die), pytest.raises(Killed):
        world.engine.execute_step(run.id)
    for _ in range(3):
        world.advance(seconds=71)
        world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"seen": ["one", "two"]}
    assert sorted(signal.name for signal in world.storage.signals()) == ["effect-one", "effect-two"]


def test_a_lost_worker_is_counted_and_its_run_goes_on_with_the_same_visit(world: World) -> None:
    world.with_queue()
    keys: list[str] = []

    @workflow("lossy")
    class Lossy:
        Context = Nothing

        @step(start=True)
        def run(self):
            keys.append(get_wake().idempotency_key)
            if len(keys) == 1:
                die()
            return complete()

    run = world.engine.start("lossy")
    with pytest.raises(Killed):
        world.engine.execute_step(run.id)
    assert world.status(run) is WorkflowStatus.RUNNING

    world.advance(seconds=71)
    stored = world.stored(run)
    assert (stored.status, stored.lost_claims, stored.visit) == (WorkflowStatus.READY, 1, 1)
    world.engine.execute_step(run.id)

    assert keys[0] == keys[1]
    assert world.history(run) == [("run", AttemptOutcome.LOST), ("run", AttemptOutcome.COMPLETE)]


def test_a_run_that_kills_its_worker_every_time_ends_failed(world: World) -> None:
    world.with_queue()

    @workflow("poison", default_retry=Retry(max_attempts=2))
    class Poison:
        Context = Nothing

        @step(start=True)
        def run(self):
            die()

    run = world.engine.start("poison")
    for _ in range(5):
        with pytest.raises(Killed):
            world.engine.execute_step(run.id)
        world.advance(seconds=71)

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.FAILED
    assert "came to no end 5 times; the last time: its worker did not come back" in stored.error


def test_poison_that_was_spared_for_want_of_its_code_ends_with_the_next_loss(world: World) -> None:
    """Only code that knows the workflow fails it; a sweep that lacks it gives the run back once more."""
    world.with_queue()

    @workflow("poison")
    class Poison:
        Context = Nothing

        @step(start=True)
        def run(self):
            die()

    run = world.engine.start("poison")
    known = dict(registry._versions)
    for loss in range(1, 7):
        with pytest.raises(Killed):
            world.engine.execute_step(run.id)
        if loss == 5:
            registry._versions.clear()
        world.advance(seconds=71)
        registry._versions.update(known)
        assert (world.status(run), loss) == (WorkflowStatus.READY if loss < 6 else WorkflowStatus.FAILED, loss)

    assert "came to no end 6 times" in world.stored(run).error


def test_a_worker_that_comes_back_after_its_claim_writes_nothing(world: World) -> None:
    world.with_queue()

    @workflow("frozen")
    class Frozen:
        class Context(BaseModel):
            by: str = ""

        @step(start=True)
        def run(self):
            first = get_wake().attempt == 1
            if first:
                elsewhere(takes_over)
            get_context().by = "first" if first else "second"
            world.engine.signal("effect")
            return complete()

    run = world.engine.start("frozen")

    def takes_over() -> None:
        world.clock.at += timedelta(seconds=71)
        world.engine.process_scheduled()
        world.engine.execute_step(run.id)

    world.engine.execute_step(run.id)

    assert world.data(run) == {"by": "second"}
    assert len(world.storage.signals()) == 1


def test_a_worker_that_lost_its_claim_cannot_store_under_the_new_workers(world: World) -> None:
    world.with_queue()

    @workflow("frozen")
    class Frozen:
        class Context(BaseModel):
            by: str = ""

        @step(start=True)
        def run(self):
            if get_wake().attempt == 1:
                elsewhere(somebody_else_claims)
            return complete(by=f"attempt {get_wake().attempt}")

    run = world.engine.start("frozen")

    def somebody_else_claims() -> None:
        world.clock.at += timedelta(seconds=71)
        world.engine.process_scheduled()
        with injected("claim.after_commit", die), pytest.raises(Killed):
            world.engine.execute_step(run.id)

    world.engine.execute_step(run.id)
    assert (world.status(run), world.data(run)) == (WorkflowStatus.RUNNING, {"by": ""})

    world.advance(seconds=71)
    world.engine.execute_step(run.id)
    assert world.data(run) == {"by": "attempt 3"}


def test_a_claim_that_has_expired_and_that_nobody_took_may_still_finish(world: World) -> None:
    @workflow("slow")
    class Slow:
        Context = Nothing

        @step(start=True)
        def run(self):
            world.clock.at += timedelta(minutes=10)
            return complete()

    assert world.status(world.engine.start("slow")) is WorkflowStatus.COMPLETED


def test_a_claim_that_has_not_expired_is_left_alone(world: World) -> None:
    world.with_queue()

    @workflow("busy")
    class Busy:
        Context = Nothing

        @step(start=True)
        def run(self):
            elsewhere(lambda: world.advance(seconds=69))
            elsewhere(lambda: world.engine.execute_step(run.id))
            return complete()

    run = world.engine.start("busy")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.attempts(run)) == 1


def test_the_claim_is_as_long_as_the_steps_timeout_and_a_margin(world: World) -> None:
    seen: list[object] = []

    @workflow("long")
    class Long:
        Context = Nothing

        @step(start=True, timeout=timedelta(minutes=5))
        def run(self):
            elsewhere(lambda: seen.append(world.stored(run).claim_expires_at))
            return complete()

    queue = world.with_queue()
    run = world.engine.start("long")
    world.engine.execute_step(run.id)

    assert seen == [world.clock.at + timedelta(minutes=5, seconds=10)]
    assert queue.given


def test_a_heartbeat_renews_the_claim(world: World) -> None:
    world.with_queue()

    @workflow("long")
    class Long:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            for _ in range(5):
                elsewhere(lambda: world.advance(seconds=50))
                heartbeat()
            return complete()

    run = world.engine.start("long")
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.attempts(run)) == 1


def test_a_heartbeat_says_when_the_claim_is_lost(world: World) -> None:
    world.with_queue()
    lost: list[ClaimLost] = []

    @workflow("long")
    class Long:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            elsewhere(lambda: world.engine.cancel(run.id))
            try:
                heartbeat()
            except ClaimLost as error:
                lost.append(error)
            return complete()

    run = world.engine.start("long")
    world.engine.execute_step(run.id)

    assert "no longer held by this worker" in str(lost[0])
    assert world.status(run) is WorkflowStatus.CANCELLED


def test_a_heartbeat_in_an_atomic_step_explains_itself(world: World) -> None:
    said: list[str] = []

    @workflow("atomic")
    class Atomic:
        Context = Nothing

        @step(start=True)
        def run(self):
            with pytest.raises(UsageError) as caught:
                heartbeat()
            said.append(str(caught.value))
            return complete()

    world.engine.start("atomic")

    assert said == [
        "heartbeat() in the atomic step 'run' could not be seen before its commit. "
        "Write @step(atomic=False), or give the step a longer timeout=."
    ]


@pytest.mark.parametrize("own", [True, False], ids=["the step's own", "around the whole step"])
def test_a_heartbeat_in_a_transaction_of_the_steps_own_explains_itself(world: World, *, own: bool) -> None:
    """Around the whole step, as in a test, everybody who looks is inside as well."""
    world.with_queue()
    said: list[str] = []

    @workflow("nested")
    class Nested:
        Context = Nothing

        @step(start=True, atomic=False)
        def run(self):
            heartbeat()
            try:
                with world.storage.transaction():
                    heartbeat()
            except UsageError as error:
                said.append(str(error))
            return complete()

    run = world.engine.start("nested")
    with nullcontext() if own else world.storage.transaction():
        world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert said == own * [
        "heartbeat() in a transaction that step 'run' has opened could not be seen before its end. "
        "Call it between the transactions."
    ]


def test_a_result_that_others_kept_from_being_stored_is_told_of_aloud(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has the run but this worker, and nothing happens to it until the claim ends."""
    world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    real = world.storage.apply

    def touched(transitions: Sequence[Transition]) -> None:
        if transitions[0].attempt is not None:
            raise StaleRun(run.id, transitions[0].before.revision)
        real(transitions)

    world.storage.apply = touched  # type: ignore[method-assign]
    world.engine.execute_step(run.id)

    assert world.status(run) is WorkflowStatus.RUNNING
    assert "touched by others each time" in caplog.text


def test_a_ready_run_whose_hint_was_lost_is_hinted_again(world: World) -> None:
    queue = world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    queue.given.clear()

    world.advance(seconds=9)
    assert queue.given == []
    world.advance(seconds=1)

    assert queue.given == [(run.id, None)]
    world.sweep()
    assert len(queue.given) == 1


def test_a_hint_is_ignored_where_there_is_nothing_to_do(world: World) -> None:
    @workflow("waiter")
    class Waiter:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", timeout=timedelta(minutes=1), then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("waiter")
    for hint in (run.id, str(run.id)):
        world.engine.execute_step(hint)
        world.engine.execute_step(hint, "end")
    world.engine.execute_step("00000000-0000-0000-0000-000000000000")

    assert world.status(run) is WorkflowStatus.WAITING
    assert world.stored(run).revision == 2


def test_a_hint_for_another_step_is_ignored(world: World) -> None:
    world.with_queue()
    two_steps(world)
    run = world.engine.start("two")

    world.engine.execute_step(run.id, "two")
    assert world.status(run) is WorkflowStatus.READY
    world.engine.execute_step(run.id, "one")
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_an_executor_that_refuses_does_not_take_the_start_with_it(world: World) -> None:
    queue = world.with_queue()
    two_steps(world)

    def down(*args: object, **kwargs: object) -> None:
        raise OSError("the queue is down")

    queue.enqueue = down  # type: ignore[method-assign]
    run = world.engine.start("two")

    assert world.status(run) is WorkflowStatus.READY


def test_one_poisoned_row_does_not_stop_the_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.with_queue()

    @workflow("sleeper")
    class Sleeper:
        Context = Nothing

        @step(start=True)
        def run(self):
            return wait("x", timeout=timedelta(minutes=1))

    runs = [world.engine.start("sleeper") for _ in range(3)]
    for run in runs:
        world.engine.execute_step(run.id)
    real = world.storage.apply

    def poisoned(transitions: list) -> None:
        if any(move.before.id == runs[1].id and move.cause == "Due" for move in transitions):
            raise OSError("this row cannot be written")
        real(transitions)

    monkeypatch.setattr(world.storage, "apply", poisoned)
    world.clock.at += timedelta(minutes=1)
    done = world.engine.process_scheduled()

    assert (done["woken"], done["errors"]) == (2, 1)
    assert world.engine.process_scheduled()["errors"] == 0
    monkeypatch.undo()
    world.advance(minutes=1)
    assert {world.status(run) for run in runs} == {WorkflowStatus.READY}


def test_lost_runs_that_cannot_be_rescued_do_not_fill_every_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.with_queue()
    two_steps(world)
    runs = [world.engine.start("two") for _ in range(2)]
    for run in runs:
        with injected("step.before_body", die), pytest.raises(Killed):
            world.engine.execute_step(run.id)
    first = min(run.id for run in runs)
    real = world.storage.apply

    def poisoned(transitions: list) -> None:
        if any(move.before.id == first and move.cause == "Lost" for move in transitions):
            raise OSError("this row cannot be written")
        real(transitions)

    monkeypatch.setattr(world.storage, "apply", poisoned)
    world.clock.at += timedelta(seconds=71)

    assert world.engine.process_scheduled(limit=1)["errors"] == 1
    assert world.engine.process_scheduled(limit=1)["rescued"] == 1


class Refusal(Exception):
    """What a database driver raises."""


def test_a_storage_that_fails_at_the_commit_gives_the_run_back_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.with_queue()
    two_steps(world)
    run = world.engine.start("two")

    def once() -> None:
        install("finish.before_commit", lambda: None)
        raise Refusal("deadlock detected")

    with injected("finish.before_commit", once):
        world.engine.execute_step(run.id)

    stored = world.stored(run)
    assert (stored.status, stored.lost_claims, stored.attempt) == (WorkflowStatus.READY, 1, 0)
    assert "Refusal: deadlock detected" in world.attempts(run)[0].detail
    world.engine.execute_step(run.id)
    assert world.data(run) == {"seen": ["one", "two"]}


def refused_at_the_commit(world: World, run: Run) -> None:
    """Let one attempt run whose result cannot be stored; what is then written of it can."""

    def once() -> None:
        install("finish.before_commit", lambda: None)
        raise Refusal("deadlock detected")

    with injected("finish.before_commit", once):
        world.engine.execute_step(run.id)


def test_a_storage_that_goes_on_failing_is_given_more_time_each_time(world: World) -> None:
    """Nothing, then 15, 30 and 60 s, each with up to half as much again, but no more than the claim's 70 s."""
    queue = world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    queue.given.clear()
    refused_at_the_commit(world, run)
    assert queue.given == [(run.id, None)]

    for number, (least, most) in enumerate([(15, 22.5), (30, 45), (60, 70)], 3):
        refused_at_the_commit(world, run)
        stored, (_, again_at) = world.stored(run), queue.given[-1]
        assert again_at is not None
        assert least <= (again_at - world.clock.at).total_seconds() <= most
        assert (stored.status, stored.next_at) == (WorkflowStatus.READY, again_at)
        at = f"{again_at:%Y-%m-%d %H:%M:%S} UTC"
        reason = "its result could not be stored: Refusal: deadlock detected"
        assert stored.why == f"attempt {number} at {at}, after {reason}"
        world.clock.at = again_at

    refused_at_the_commit(world, run)
    assert world.status(run) is WorkflowStatus.FAILED
    assert "came to no end 5 times; the last time: its result could not be stored" in world.stored(run).error


def test_a_run_that_rests_after_failures_of_its_storage_is_found_by_the_sweep(world: World) -> None:
    queue = world.with_queue(horizon=timedelta(0))
    two_steps(world)
    run = world.engine.start("two")
    for _ in range(2):
        refused_at_the_commit(world, run)
    queue.given.clear()

    world.advance(seconds=14)
    assert queue.given == [], "not before its time"
    world.advance(seconds=9)
    assert queue.given == [(run.id, None)]
    world.engine.execute_step(run.id)

    assert world.data(run) == {"seen": ["one", "two"]}


def test_a_pause_after_failures_of_the_storage_is_no_longer_than_the_steps_claim(world: World) -> None:
    world.set_policy(Policy(step_timeout=timedelta(seconds=2), claim_margin=timedelta(seconds=1)))
    queue = world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    for _ in range(2):
        refused_at_the_commit(world, run)

    assert queue.given[-1] == (run.id, world.clock.at + timedelta(seconds=3))


def test_storages_that_fail_for_a_herd_of_runs_do_not_meet_it_again_at_one_moment(world: World) -> None:
    queue = world.with_queue()
    two_steps(world)
    runs = [world.engine.start("two") for _ in range(20)]
    for run in runs:
        for _ in range(2):
            refused_at_the_commit(world, run)

    assert len({again_at for _, again_at in queue.given if again_at is not None}) == len(runs)


def test_a_run_that_lost_two_workers_is_given_to_the_next_at_once(world: World) -> None:
    """Their claims were pause enough, and recovery has its bound."""
    queue = world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    for _ in range(2):
        with injected("step.before_body", die), pytest.raises(Killed):
            world.engine.execute_step(run.id)
        queue.given.clear()
        world.advance(seconds=71)

    stored = world.stored(run)
    assert (stored.lost_claims, stored.why) == (2, "ready for a worker")
    assert queue.given == [(run.id, None)]


def test_a_commit_whose_answer_was_lost_is_found_by_reading(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    transactions = world.storage._transactions
    real = transactions.commit
    count = [0]

    def lost(transaction: object) -> None:
        real(transaction)  # type: ignore[arg-type]
        if transaction.changes.attempts:  # type: ignore[attr-defined]
            count[0] += 1
            raise Refusal("connection lost while waiting for COMMIT")

    monkeypatch.setattr(transactions, "commit", lost)
    world.engine.execute_step(run.id)

    assert count == [2]
    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"seen": ["one", "two"]}
    assert world.stored(run).lost_claims == 0


def test_a_workflow_that_is_not_here_keeps_its_runs_ready_for_a_while_then_pauses_them(world: World) -> None:
    world.with_queue()
    two_steps(world)
    run = world.engine.start("two")
    held = dict(registry._versions)
    registry._versions.clear()

    world.engine.execute_step(run.id)
    assert (world.status(run), world.stored(run).why) == (WorkflowStatus.READY, "workflow 'two' is not in this code")

    world.clock.at += timedelta(seconds=60)
    world.engine.execute_step(run.id)
    assert (world.status(run), world.stored(run).pause) == (WorkflowStatus.PAUSED, Pause.MISSING)
    assert world.attempts(run) == []

    registry._versions.update(held)
    world.advance(seconds=60)
    assert world.status(run) is WorkflowStatus.READY
    world.engine.execute_step(run.id)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_step_that_is_gone_pauses_the_run_and_names_the_steps_there_are(world: World) -> None:
    @workflow("changing")
    class Changing:
        Context = Nothing

        @step(start=True)
        def old(self):
            return wait("x", then=self.old_too)

        @step()
        def old_too(self):
            return complete()

    run = world.engine.start("changing")
    registry._versions.clear()

    @workflow("changing")
    class Changed:
        Context = Nothing

        @step(start=True)
        def new(self):
            return complete()

    world.engine.signal("x")
    world.advance(seconds=61)
    world.advance(seconds=61)

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.PAUSED
    assert stored.why == "step 'old_too' is not in version '1' of workflow 'changing'; its steps are new"


def test_a_context_that_no_longer_fits_pauses_with_the_fields_and_keeps_the_original(world: World) -> None:
    def define(field_type: type) -> None:
        @workflow("shaped")
        class Shaped:
            class Context(BaseModel):
                n: field_type = None  # type: ignore[valid-type]

            @step(start=True)
            def run(self):
                return wait("x", then=self.end)

            @step()
            def end(self):
                return complete()

    define(str)
    run = world.engine.start("shaped", n="abc")
    define(int)
    world.engine.signal("x")

    stored = world.stored(run)
    assert (stored.status, stored.pause) == (WorkflowStatus.PAUSED, Pause.CONTEXT)
    assert "does not fit: n: Input should be a valid integer" in stored.why
    assert stored.data == {"n": "abc"}

    define(str)
    world.advance(seconds=60)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_new_fields_with_defaults_need_nothing(world: World) -> None:
    def define(**fields: object) -> None:
        @workflow("shaped")
        class Shaped:
            Context = type("Context", (BaseModel,), {"__annotations__": dict.fromkeys(fields, int), **fields})

            @step(start=True)
            def run(self):
                return wait("x", then=self.end)

            @step()
            def end(self):
                return complete()

    define(a=1)
    run = world.engine.start("shaped")
    define(a=1, b=2)
    world.engine.signal("x")

    assert world.data(run) == {"a": 1, "b": 2}


def test_an_upgrade_hook_brings_an_old_context_into_shape(world: World) -> None:
    @workflow("shaped")
    class Old:
        class Context(BaseModel):
            name: str = "Ada Lovelace"

        @step(start=True)
        def run(self):
            return wait("x", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("shaped")
    registry._versions.clear()

    @workflow("shaped")
    class New:
        class Context(BaseModel):
            first: str
            last: str

        @classmethod
        def upgrade_context(cls, version, data):
            first, last = data["name"].split()
            return {"first": first, "last": last}

        @step(start=True)
        def run(self):
            return complete()

        @step()
        def end(self):
            return complete()

    world.engine.signal("x")

    assert world.data(run) == {"first": "Ada", "last": "Lovelace"}


def test_a_validator_or_an_upgrade_that_breaks_pauses_the_run_until_it_is_mended(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def define(broken: str = "") -> None:
        @workflow("shaped")
        class Shaped:
            class Context(BaseModel):
                name: str = "Ada"

                @field_validator("name")
                @classmethod
                def known(cls, value):
                    return {"Ada": value}[value + broken]

            if broken == "upgrade":

                @classmethod
                def upgrade_context(cls, version, data):
                    return {"name": data["title"]}

            @step(start=True)
            def run(self):
                return wait("x", then=self.end)

            @step()
            def end(self):
                return complete()

    define()
    run = world.engine.start("shaped")
    define(broken="validator")
    world.engine.signal("x")

    assert world.stored(run).pause is Pause.CONTEXT
    assert world.stored(run).why == "the stored Context does not fit: a validator raised KeyError"

    define(broken="upgrade")
    for _ in range(3):
        world.advance(seconds=60)

    assert world.stored(run).why == "the stored Context does not fit: upgrade_context raised KeyError"
    told = [record for record in caplog.records if record.exc_info and "upgrade_context" in record.getMessage()]
    assert len(told) <= 1, "it is looked at every minute, and told once"

    define()
    world.advance(seconds=60)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_every_fault_point_is_reached(world: World) -> None:
    """The simulator and the crash tests break these points: one that nobody passes would test nothing."""
    passed: set[str] = set()
    world.with_queue()
    two_steps(world)

    @workflow("failing", default_retry=Retry(max_attempts=1))
    class Failing:
        Context = Nothing

        @step(start=True)
        def run(self):
            raise RuntimeError

    from contextlib import ExitStack

    with ExitStack() as stack:
        for point in POINTS:
            stack.enter_context(injected(point, lambda point=point: passed.add(point)))
        for name in ("two", "failing"):
            run = world.engine.start(name)
            world.advance(seconds=10)
            world.engine.execute_step(run.id)

    assert passed == set(POINTS)


def test_an_unknown_fault_point_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'nowhere' is not a fault point. Points: start.before_commit"):
        install("nowhere", die)
