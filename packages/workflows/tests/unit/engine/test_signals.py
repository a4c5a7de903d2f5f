"""Signals: stored, matched, ordered, consumed once, refused when they are not JSON."""

import contextlib
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import BaseModel

from automation.workflows.core import (
    ANY,
    EntityRef,
    Retry,
    WorkflowStatus,
    complete,
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
from automation.workflows.engine.memory.tables import Changes, Tables
from automation.workflows.errors import PayloadError, UnknownRun, UsageError
from automation.workflows.ports import Occurrence, Policy
from tests.unit.world import START, World


def waiter(name: str = "waiter", **asked: object) -> type:
    """Define a workflow that waits for "x" and is done."""

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

    return Waiter


def test_a_signal_wakes_every_run_that_waits(world: World) -> None:
    runs = [world.engine.start(waiter()) for _ in range(3)]

    world.engine.signal("x")

    assert {world.status(run) for run in runs} == {WorkflowStatus.COMPLETED}


def test_a_signal_sent_while_the_step_runs_is_not_lost(world: World) -> None:
    @workflow("busy")
    class Busy:
        Context = type("Context", (BaseModel,), {})

        @step(start=True, atomic=False)
        def run(self):
            send_from_outside(world, "x")
            return wait("x", then=self.after)

        @step()
        def after(self):
            return complete()

    run = world.engine.start("busy")

    assert world.status(run) is WorkflowStatus.COMPLETED


def send_from_outside(world: World, name: str, **kwargs: object) -> None:
    """Send as another process would: not buffered by the running step."""
    from contextvars import Context

    Context().run(lambda: world.engine.signal(name, **kwargs))  # type: ignore[arg-type]


def test_a_wait_that_meets_its_signal_is_one_stored_change(world: World) -> None:
    @workflow("busy")
    class Busy:
        Context = type("Context", (BaseModel,), {})

        @step(start=True, atomic=False)
        def run(self):
            send_from_outside(world, "x")
            return wait("x", then=self.after)

        @step()
        def after(self):
            return complete()

    run = world.engine.start("busy")

    assert world.stored(run).revision == 3


def test_a_broadcast_from_before_the_visit_does_not_wake(world: World) -> None:
    world.engine.signal("x")
    run = world.engine.start(waiter())

    assert world.status(run) is WorkflowStatus.WAITING


def test_a_broadcast_of_an_earlier_visit_does_not_wake_a_later_one(world: World) -> None:
    @workflow("later")
    class Later:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return sleep(timedelta(minutes=1), then=self.listen)

        @step()
        def listen(self):
            return wait("x", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("later")
    world.engine.signal("x")
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.WAITING


def test_since_run_hears_a_broadcast_of_an_earlier_visit(world: World) -> None:
    @workflow("later")
    class Later:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return sleep(timedelta(minutes=1), then=self.listen)

        @step()
        def listen(self):
            return wait("x", then=self.end, since="run")

        @step()
        def end(self):
            return complete()

    run = world.engine.start("later")
    world.engine.signal("x")
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_since_now_hears_nothing_from_before(world: World) -> None:
    @workflow("now")
    class Now:
        Context = type("Context", (BaseModel,), {})

        @step(start=True, atomic=False)
        def run(self):
            send_from_outside(world, "x")
            send_from_outside(world, "x", key="k")
            return wait("x", then=self.end, since="now")

        @step()
        def end(self):
            return complete()

    run = world.engine.start("now")
    assert world.status(run) is WorkflowStatus.WAITING

    world.engine.signal("x")
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_since_now_hears_nothing_from_before_that_is_still_being_delivered(world: World) -> None:
    world.set_policy(Policy(inline_delivery=1, batch=1))
    others = [world.engine.start(waiter()) for _ in range(2)]

    @workflow("now")
    class Now:
        Context = type("Context", (BaseModel,), {})

        @step(start=True, atomic=False)
        def run(self):
            send_from_outside(world, "x")
            return wait("x", then=self.end, since="now")

        @step()
        def end(self):
            return complete()

    run = world.engine.start("now")
    assert WorkflowStatus.WAITING in {world.status(other) for other in others}
    world.sweep()

    assert {world.status(other) for other in others} == {WorkflowStatus.COMPLETED}
    assert world.status(run) is WorkflowStatus.WAITING


@pytest.mark.parametrize(("ago", "status"), [(9, WorkflowStatus.COMPLETED), (11, WorkflowStatus.WAITING)])
def test_since_a_duration_hears_what_is_no_older(world: World, ago: int, status: WorkflowStatus) -> None:
    world.engine.signal("x")
    world.clock.at += timedelta(minutes=ago)
    run = world.engine.start(waiter(since=timedelta(minutes=10)))

    assert world.status(run) is status


def test_an_addressed_signal_counts_since_the_run_began(world: World) -> None:
    @workflow("later")
    class Later:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return sleep(timedelta(minutes=1), then=self.listen)

        @step()
        def listen(self):
            return wait("x", key="order-7", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("later")
    world.engine.signal("x", key="order-7")
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.COMPLETED


@pytest.mark.parametrize(
    ("asked", "sent", "wakes"),
    [
        (None, None, True),
        (None, "a", True),
        ("a", "a", True),
        ("a", "b", False),
        ("a", "A", False),
        ("a", None, False),
    ],
    ids=["nothing-nothing", "nothing-key", "same", "other", "case", "key-nothing"],
)
def test_a_key_narrows_a_wait(world: World, asked: str | None, sent: str | None, wakes: bool) -> None:
    run = world.engine.start(waiter(key=asked))

    world.engine.signal("x", key=sent)

    assert (world.status(run) is WorkflowStatus.COMPLETED) is wakes


def test_a_signal_to_a_run_wakes_that_run_alone(world: World) -> None:
    Waiter = waiter()
    one, other = world.engine.start(Waiter), world.engine.start(Waiter)

    world.engine.signal("x", run_id=one.id)

    assert world.status(one) is WorkflowStatus.COMPLETED
    assert world.status(other) is WorkflowStatus.WAITING


@pytest.mark.parametrize(("sent", "wakes"), [("a", True), ("b", False), (None, True)], ids=["same", "other", "none"])
def test_a_signal_to_a_run_with_a_key_ends_no_wait_for_another_key(world: World, sent: str | None, wakes: bool) -> None:
    first = world.engine.start(waiter(key="a"))
    world.engine.signal("x", run_id=first.id, key=sent)
    assert (world.status(first) is WorkflowStatus.COMPLETED) is wakes

    world.with_queue()
    late = world.engine.start(waiter(key="a"))
    world.engine.signal("x", run_id=late.id, key=sent)
    world.engine.execute_step(late.id)
    assert (world.status(late) is WorkflowStatus.COMPLETED) is wakes


def test_each_run_consumes_a_signal_once_and_in_the_order_of_sending(world: World) -> None:
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
            return complete() if len(context.seen) == 5 else wait("item")

    run = world.engine.start("collector")
    with world.storage.transaction():
        for number in range(5):
            world.engine.signal("item", {"item": number})

    assert world.data(run)["seen"] == [0, 1, 2, 3, 4]


def test_a_signal_in_a_rolled_back_transaction_is_not_sent(world: World) -> None:
    run = world.engine.start(waiter())

    with contextlib.suppress(RuntimeError), world.storage.transaction():
        world.engine.signal("x")
        raise RuntimeError

    world.sweep()
    assert world.status(run) is WorkflowStatus.WAITING
    assert world.storage.signals() == []


def test_a_signal_inside_a_transaction_wakes_on_its_commit(world: World) -> None:
    run = world.engine.start(waiter())

    with world.storage.transaction():
        world.engine.signal("x")
        assert world.status(run) is WorkflowStatus.WAITING

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_only_the_first_waiters_are_woken_at_once_and_the_sweep_wakes_the_rest(world: World) -> None:
    world.set_policy(Policy(inline_delivery=2, batch=2))
    Waiter = waiter()
    runs = [world.engine.start(Waiter) for _ in range(7)]

    world.engine.signal("x")
    assert sum(world.status(run) is WorkflowStatus.COMPLETED for run in runs) == 2

    world.sweep()
    assert {world.status(run) for run in runs} == {WorkflowStatus.COMPLETED}


def test_one_transaction_wakes_no_more_runs_than_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set_policy(Policy(batch=2))
    world.with_queue()
    for _ in range(5):
        world.engine.execute_step(world.engine.start(waiter()).id)
    commit, woken = world.storage._tables.commit, []

    def counted(tables: Tables, changes: Changes) -> None:
        woken.append(len(changes.runs))
        commit(changes)

    monkeypatch.setattr(Tables, "commit", counted)
    world.engine.signal("x")

    assert [runs for runs in woken if runs] == [2, 2, 1]


def test_a_signal_and_a_timeout_have_one_winner(world: World) -> None:
    run = world.engine.start(waiter(timeout=timedelta(minutes=1)))
    world.clock.at += timedelta(minutes=1)

    world.engine.signal("x")
    world.sweep()

    assert world.history(run)[-1][0] == "after"
    assert len(world.history(run)) == 2


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"a": "x\x00y"}, "payload.a contains NUL"),
        ({"a": ["\ud800"]}, r"payload.a\[0\] contains a lone surrogate"),
        ({"a": float("nan")}, "payload.a is nan"),
        ({"a": {"b": float("inf")}}, "payload.a.b is inf"),
        ({"a": START}, "payload.a is a datetime"),
        ({1: "a"}, "payload has the key 1"),
        ({"a\x00": 1}, "contains NUL"),
        ({"a": 2**70}, "more than 64 bits"),
        ({"a": "x" * 70_000}, "70008 bytes of JSON, over 65536"),
        ({str(n): n for n in range(1001)}, "more than 1000 keys"),
        ([1], "payload is a list"),
    ],
    ids=["nul", "surrogate", "nan", "inf", "datetime", "int-key", "nul-key", "big-int", "large", "keys", "list"],
)
def test_what_is_not_json_is_refused_with_its_path_before_any_write(world: World, payload: object, path: str) -> None:
    with pytest.raises(PayloadError, match=path):
        world.engine.signal("x", payload)  # type: ignore[arg-type]

    assert world.storage.signals() == []


def test_a_payload_is_sent_as_it_was_when_it_was_given(world: World) -> None:
    @workflow("sender")
    class Sender:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            payload: dict[str, object] = {"pair": (1, 2)}
            for n in range(3):
                payload["n"] = n
                world.engine.signal("tick", payload)
            payload["n"] = object()
            return complete()

    run = world.engine.start("sender")

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert [signal.payload for signal in world.storage.signals()] == [{"pair": [1, 2], "n": n} for n in range(3)]


def test_what_one_step_does_to_its_payload_is_nothing_to_another_run_or_attempt(world: World) -> None:
    @workflow("listener", default_retry=Retry(max_attempts=2))
    class Listener:
        class Context(BaseModel):
            seen: list[int] = []

        @step(start=True)
        def run(self):
            return wait("x", then=self.hear)

        @step()
        def hear(self):
            payload = get_wake().payload
            payload["items"].append(1)
            get_context().seen = list(payload["items"])
            if get_wake().attempt == 1:
                raise RuntimeError
            return complete()

    runs = [world.engine.start("listener") for _ in range(2)]
    world.engine.signal("x", {"items": []})
    world.advance(minutes=1)

    assert [world.data(run) for run in runs] == [{"seen": [1]}, {"seen": [1]}]


def test_a_payload_nested_ten_thousand_deep_is_refused_without_recursion(world: World) -> None:
    deep: dict[str, object] = {}
    for _ in range(10_000):
        deep = {"a": deep}

    with pytest.raises(PayloadError, match="nested deeper than 32 levels"):
        world.engine.signal("x", deep)


def test_with_run_id_a_payload_that_does_not_fit_raises_at_the_sender(world: World) -> None:
    run = world.engine.start(waiter())

    with pytest.raises(PayloadError, match=r"does not fit the Context of 'waiter'.*n: "):
        world.engine.signal("x", {"n": "abc"}, run_id=run.id)

    assert world.status(run) is WorkflowStatus.WAITING


def test_a_wait_lets_only_what_it_accepts_into_the_context(world: World) -> None:
    rejected: list[dict[str, str]] = []

    @workflow("approval")
    class Approval:
        class Context(BaseModel):
            approved: bool = False
            amount: int = 100

        @step(start=True)
        def run(self):
            return wait("decided", accept=["approved"], then=self.end)

        @step()
        def end(self):
            rejected.append(dict(get_wake().rejected))
            return complete()

    run = world.engine.start("approval")
    with pytest.raises(PayloadError, match="amount: the wait does not accept it"):
        world.engine.signal("decided", {"approved": True, "amount": 1}, run_id=run.id)
    world.engine.signal("decided", {"approved": True, "amount": 1})

    assert world.data(run) == {"approved": True, "amount": 100}
    assert rejected == [{"amount": "the wait does not accept it"}]


def test_a_wait_that_accepts_nothing_merges_nothing(world: World) -> None:
    run = world.engine.start(waiter(accept=()))
    world.engine.signal("x", {"n": 7})

    assert world.data(run) == {"n": 0}


@pytest.mark.parametrize(
    ("ending", "told"), [(complete(), "which is completed."), (fail("no"), "which is failed; a retry may yet hear it.")]
)
def test_a_signal_to_a_run_that_has_ended_is_logged(
    world: World, caplog: pytest.LogCaptureFixture, ending: object, told: str
) -> None:
    @workflow("ended")
    class Ended:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return ending

    run = world.engine.start("ended")
    world.engine.signal("x", run_id=run.id)

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"Signal 'x' was sent to run {run.id} of 'ended', {told}"
    ]


def test_a_signal_to_an_unknown_run_raises(world: World) -> None:
    with pytest.raises(UnknownRun, match="There is no run"):
        world.engine.signal("x", run_id=uuid4())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("event:x", "is an event's: only an event that occurs sends it"),
        ("children:1:a", "sent by ending child runs alone"),
        ("", "text of 1 to 255 characters"),
        ("a" * 256, "text of 1 to 255 characters"),
    ],
    ids=["event", "children", "empty", "long"],
)
def test_names_that_users_may_not_send_are_refused(world: World, name: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        world.engine.signal(name)


def occurrence(number: str, entity: str, *about: str, name: str = "docs") -> Occurrence:
    """Return an occurrence about `type:id` texts."""
    first, *others = [EntityRef(type=ref.split(":")[0], id=ref.split(":")[1]) for ref in (entity, *about)]
    return Occurrence(id=number, name=name, entity=first, at=None, about=tuple(others), payload={"n": 1})


@pytest.mark.parametrize(
    ("own", "asked", "event", "wakes"),
    [
        ("app.r:1", None, ("app.r:1",), True),
        ("app.r:1", None, ("app.r:2",), False),
        ("app.r:1", None, ("app.doc:9",), True),
        ("app.r:1", None, ("app.doc:9", "app.r:1"), True),
        ("app.r:1", None, ("app.doc:9", "app.r:2"), False),
        ("app.r:1", None, ("app.doc:9", "app.r:2", "app.r:1"), True),
        ("app.r:1", "app.r:2", ("app.r:2",), True),
        ("app.r:1", "app.r:2", ("app.r:1",), False),
        ("app.r:1", "app.r:2", ("app.doc:9",), False),
        ("app.r:1", ANY, ("app.r:2",), True),
        (None, None, ("app.r:2",), True),
        (None, "app.r:1", ("app.r:2",), False),
    ],
)
def test_whom_an_event_wakes(world: World, own: str | None, asked: object, event: tuple[str, ...], wakes: bool) -> None:
    from dataclasses import replace

    entity = EntityRef(type=asked.split(":")[0], id=asked.split(":")[1]) if isinstance(asked, str) else asked

    @workflow("listener")
    class Listener:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return wait_for_event("docs", entity=entity, then=self.end)

        @step()
        def end(self):
            return complete()

    queue = world.with_queue()
    run = world.engine.start("listener")
    if own is not None:
        held = EntityRef(type=own.split(":")[0], id=own.split(":")[1])
        world.storage._tables.runs[run.id] = replace(world.stored(run), entity=held)
    world.engine.execute_step(run.id)

    world.engine.occurred([occurrence("1", *event)])

    assert (world.status(run) is WorkflowStatus.READY) is wakes
    assert queue.given


def test_an_event_announced_twice_wakes_once(world: World) -> None:
    @workflow("counter")
    class Counter:
        class Context(BaseModel):
            n: int = 0
            count: int = 0

        @step(start=True)
        def run(self):
            get_context().count += get_wake().cause == "signal"
            return wait_for_event("docs")

    run = world.engine.start("counter")
    for _ in range(2):
        world.engine.occurred([occurrence("1", "app.r:1")])

    assert world.data(run) == {"n": 1, "count": 1}


def test_goto_in_a_loop_does_not_hear_a_signal_twice(world: World) -> None:
    @workflow("loop")
    class Loop:
        class Context(BaseModel):
            rounds: int = 0

        @step(start=True)
        def run(self):
            return wait("x", since="run", then=self.again)

        @step()
        def again(self):
            get_context().rounds += 1
            return goto(self.run)

    run = world.engine.start("loop")
    world.engine.signal("x")

    assert world.data(run) == {"rounds": 1}
    assert world.status(run) is WorkflowStatus.WAITING


def test_an_event_announced_again_after_its_delivery_is_still_heard(world: World) -> None:
    @workflow("late_listener")
    class LateListener:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return sleep(timedelta(minutes=1), then=self.listen)

        @step()
        def listen(self):
            return wait_for_event("docs", since="run", then=self.end)

        @step()
        def end(self):
            return complete()

    run = world.engine.start("late_listener")
    for _ in range(2):
        world.engine.occurred([occurrence("1", "app.r:1")])
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_name_that_cannot_be_delivered_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = world.storage.mailbox.lock

    def locked(name: str) -> None:
        if name == "poisoned":
            raise OSError("the storage failed for this name")
        lock(name)

    run = world.engine.start(waiter())
    # Nobody delivers at once what is sent: the sweep finds both.
    world.set_policy(Policy(inline_delivery=0))
    world.engine.signal("poisoned")
    world.engine.signal("x")
    monkeypatch.setattr(world.storage.mailbox, "lock", locked)

    done = world.engine.process_scheduled()

    assert (done["errors"], done["delivered"]) == (1, 1)
    assert world.status(run) is WorkflowStatus.COMPLETED
