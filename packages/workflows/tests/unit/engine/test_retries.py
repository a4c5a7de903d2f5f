"""Raising, trying again, giving up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, field_serializer, model_validator

from automation.workflows.core import (
    Retry,
    WorkflowStatus,
    complete,
    fail,
    get_context,
    get_wake,
    goto,
    run_children,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from automation.workflows.engine.faults import injected
from automation.workflows.errors import BrokenTransaction
from automation.workflows.ports import Policy
from automation.workflows.runs.values import AttemptOutcome, Run
from tests.unit.world import START, World


def failing(error: BaseException, retry: Retry | None = None, **options: Any) -> None:
    """Define the workflow "failing", whose only step raises."""

    @workflow("failing")
    class Failing:
        class Context(BaseModel):
            tries: int = 0

        @step(start=True, retry=retry, **options)
        def run(self):
            get_context().tries += 1
            raise error


@pytest.mark.parametrize(
    ("result", "says"),
    [
        pytest.param(lambda: sleep(5), "sleep(...) takes a timedelta, not 5", id="a number"),  # type: ignore[arg-type]
        pytest.param(lambda: sleep(timedelta.max), "sleep(...) takes at most 36525 days", id="too long"),
        pytest.param(lambda: wait("x", timeout="1h"), "takes a timedelta, not '1h'", id="text"),  # type: ignore[arg-type]
        pytest.param(lambda: wait("x", since=5), "since is", id="since"),  # type: ignore[arg-type]
        pytest.param(lambda: goto(3), "3 is not a step", id="no step"),  # type: ignore[arg-type]
        pytest.param(lambda: run_children([7]), "run_children got 7", id="no child"),  # type: ignore[list-item]
        pytest.param(lambda: wait_for_event("x", entity=7), "7 is not a saved model instance", id="no entity"),
    ],
)
def test_a_result_asked_for_with_what_it_cannot_be_fails_the_run_at_once(
    world: World, result: Callable[[], object], says: str
) -> None:
    @workflow("mistaken", default_retry=Retry(max_attempts=5))
    class Mistaken:
        class Context(BaseModel):
            tries: int = 0

        @step(start=True)
        def run(self):
            get_context().tries += 1
            return result()

    run = world.engine.start("mistaken")

    assert (world.status(run), world.data(run)) == (WorkflowStatus.FAILED, {"tries": 1})
    assert says in world.stored(run).error


def test_a_context_that_a_step_replaces_is_the_one_that_is_kept(world: World) -> None:
    @workflow("replacing", default_retry=Retry(max_attempts=2, base_delay=timedelta(seconds=1), jitter=0))
    class Replacing:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            self.context = self.context.model_copy(update={"n": self.context.n + 1})
            if get_wake().attempt == 1:
                raise RuntimeError
            return complete()

    run = world.engine.start("replacing")
    world.advance(seconds=2)

    assert world.data(run) == {"n": 2}


def test_something_else_in_place_of_the_context_fails_the_run(world: World) -> None:
    @workflow("replacing")
    class Replacing:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            self.context = {"n": 1}
            return complete()

    run = world.engine.start("replacing")

    assert world.stored(run).error.startswith(
        "ProgrammingError: Step 'run' of workflow 'replacing' set self.context to a dict. Change its fields"
    )


def test_an_undeclared_value_that_would_change_its_type_is_refused_by_name(world: World) -> None:
    @workflow("open")
    class Open:
        class Context(BaseModel):
            model_config = ConfigDict(extra="allow")

        @step(start=True)
        def run(self):
            get_context().day = date(2030, 1, 7)
            return complete()

    run = world.engine.start("open", note="kept")

    assert world.data(run) == {"note": "kept"}
    assert "Context field 'day' would come back as str instead of date" in world.stored(run).error


def test_changes_to_the_context_survive_the_raise_and_rows_do_not(world: World) -> None:
    @workflow("mixed")
    class Mixed:
        class Context(BaseModel):
            tries: int = 0

        @step(start=True)
        def run(self):
            get_context().tries += 1
            world.engine.signal("sent")
            if get_context().tries < 2:
                raise RuntimeError("once")
            return complete()

    run = world.engine.start("mixed")
    assert world.data(run) == {"tries": 1}
    assert world.storage.signals() == []

    world.advance(seconds=1)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert len(world.storage.signals()) == 1


def test_keep_context_false_rolls_it_back(world: World) -> None:
    failing(RuntimeError("no"), Retry(keep_context=False))
    run = world.engine.start("failing")

    assert world.data(run) == {"tries": 0}


def test_a_retry_is_never_early_and_backs_off(world: World) -> None:
    failing(RuntimeError("no"), Retry(max_attempts=4, base_delay=timedelta(seconds=2)))
    run = world.engine.start("failing")

    due = [world.stored(run).wake_at]
    for seconds in (2, 4):
        world.advance(seconds=seconds - 0.001)
        assert len(world.attempts(run)) == len(due)
        world.advance(seconds=0.001)
        due.append(world.stored(run).wake_at)

    assert due == [START + timedelta(seconds=total) for total in (2, 2 + 4, 2 + 4 + 8)]


def test_a_retry_of_two_seconds_is_hinted_for_two_seconds(world: World) -> None:
    queue = world.with_queue()
    failing(RuntimeError("no"), Retry(base_delay=timedelta(seconds=2)))
    run = world.engine.start("failing")
    world.engine.execute_step(run.id)

    assert queue.given[-1] == (run.id, START + timedelta(seconds=2))


def test_exhausted_attempts_fail_with_message_and_traceback(world: World) -> None:
    failing(RuntimeError("no luck"), Retry(max_attempts=2))
    run = world.engine.start("failing")
    world.advance(seconds=1)

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.FAILED
    assert stored.error.startswith("RuntimeError: no luck\n")
    assert "in run" in stored.error
    assert [outcome for _, outcome in world.history(run)] == [AttemptOutcome.RETRY, AttemptOutcome.EXHAUSTED]


def test_give_up_on_fails_at_once(world: World) -> None:
    failing(KeyError("x"), Retry(max_attempts=9, give_up_on=(LookupError,)))
    run = world.engine.start("failing")

    assert world.status(run) is WorkflowStatus.FAILED
    assert len(world.attempts(run)) == 1


def test_fail_takes_no_retry_and_keeps_its_reason(world: World) -> None:
    @workflow("failing")
    class Failing:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return fail("no money")

    run = world.engine.start("failing")

    assert world.stored(run).error == "no money"
    assert len(world.attempts(run)) == 1


def test_each_visit_of_a_step_has_all_its_attempts(world: World) -> None:
    @workflow("visits")
    class Visits:
        class Context(BaseModel):
            tries: int = 0

        @step(start=True, retry=Retry(max_attempts=2))
        def run(self):
            context = get_context()
            context.tries += 1
            if context.tries % 2:
                raise RuntimeError("every first time")
            return goto(self.run) if context.tries < 6 else complete()

    run = world.engine.start("visits")
    for _ in range(3):
        world.advance(seconds=1)

    assert world.status(run) is WorkflowStatus.COMPLETED


def test_default_retry_is_used_where_a_step_has_none(world: World) -> None:
    @workflow("failing", default_retry=Retry(max_attempts=1))
    class Failing:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            raise RuntimeError

    assert world.status(world.engine.start("failing")) is WorkflowStatus.FAILED


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_jitter_only_lengthens_and_differs_between_runs(world: World, jitter: float) -> None:
    failing(RuntimeError("no"), Retry(base_delay=timedelta(seconds=10), jitter=jitter))
    due = {world.stored(world.engine.start("failing")).wake_at for _ in range(20)}

    assert all(at is not None and START + timedelta(seconds=10) <= at for at in due)
    assert all(at is not None and at <= START + timedelta(seconds=10) * (1 + jitter) for at in due)
    assert len(due) == (1 if jitter == 0 else 20)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda e: type(e).__name__)
def test_what_ends_a_worker_is_recorded_before_it_is_passed_on(world: World, error: BaseException) -> None:
    world.with_queue()
    failing(error)
    run = world.engine.start("failing")

    with pytest.raises(type(error)):
        world.engine.execute_step(run.id)

    stored = world.stored(run)
    assert stored.status is WorkflowStatus.WAITING
    assert stored.attempt == 1
    assert type(error).__name__ in world.attempts(run)[0].detail


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, "returned None. A step returns goto"),
        ("done", "returned str"),
        ((one for one in ()), "returned generator"),
        (goto("nowhere"), "goto leads to 'nowhere', which is not a @step of workflow 'wrong'"),
        (sleep(timedelta(1), then="nowhere"), "then= leads to 'nowhere'"),
        (wait("x", timeout=timedelta(1), on_timeout="runn"), "Did you mean 'run'"),
        (goto("plain"), "It is a method: write @step"),
        (complete(n="abc"), "complete.*n: "),
        (complete(other=object()), "is a object, which is not JSON"),
    ],
    ids=["none", "text", "generator", "goto", "sleep", "wait", "method", "complete", "complete-json"],
)
def test_a_programming_error_fails_at_once(world: World, result: Any, shown: str) -> None:
    @workflow("wrong")
    class Wrong:
        class Context(BaseModel):
            n: int = 0

        @step(start=True)
        def run(self):
            return result

        def plain(self):
            return None

    run = world.engine.start("wrong")

    assert world.status(run) is WorkflowStatus.FAILED
    assert len(world.attempts(run)) == 1
    import re

    assert re.search(shown, world.stored(run).error, re.DOTALL)


@dataclass
class Stay:
    begins: datetime


class Night(BaseModel):
    ends: datetime


class Watch(BaseModel):
    """Holds a point in time in every way that a Context may."""

    at: datetime | None = None
    many: list[datetime] = []
    few: set[datetime] = set()
    pair: tuple[int, datetime] | None = None
    named: dict[str, datetime] = {}
    by_time: dict[datetime, int] = {}
    night: Night | None = None
    stay: Stay | None = None


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
        datetime.max.replace(tzinfo=BERLIN),
    ],
    ids=["twice-first", "twice-second", "left-out", "the-last"],
)
def test_a_local_time_of_the_night_in_which_the_clocks_change_comes_back(world: World, moment: datetime) -> None:
    """Python calls it unequal to the same instant in UTC, and the same instant is what counts."""

    @workflow("night_watch")
    class NightWatch:
        Context = Watch

        @step(start=True)
        def look(self):
            at = moment
            filled = Watch(
                at=at,
                many=[at],
                few={at},
                pair=(1, at),
                named={"a": at},
                by_time={at: 1},
                night=Night(ends=at),
                stay=Stay(begins=at),
            )
            self.context = filled
            return complete()

    run = world.engine.start("night_watch")

    assert world.stored(run).error == ""
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_local_time_that_would_come_back_as_another_instant_is_refused(world: World) -> None:
    class Rounded(BaseModel):
        at: datetime | None = None

        @field_serializer("at")
        def to_the_hour(self, value: datetime | None) -> str | None:
            return None if value is None else value.replace(minute=0).isoformat()

    @workflow("rounding")
    class Rounding:
        Context = Rounded

        @step(start=True)
        def look(self):
            get_context().at = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
            return complete()

    run = world.engine.start("rounding")

    assert "Context field 'at' would come back as datetime" in world.stored(run).error


class Blob(BaseModel):
    raw: bytes = b""


class Loose(BaseModel):
    """A Context that lets anything in."""

    thing: Any = None
    number: float = 0.0
    text: str = ""
    raw: bytes = b""
    nested: Blob | None = None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("thing", Decimal("1.5"), "field 'thing' would come back as str instead of Decimal"),
        ("thing", datetime(2030, 1, 1), "field 'thing' would come back as str"),
        ("thing", (1, 2), "field 'thing' would come back as list instead of tuple"),
        ("thing", object(), "field 'thing' holds a object that is not JSON"),
        ("text", "a\x00b", "Context.text contains NUL"),
        ("text", "\ud800", "Context"),
        ("nested", Blob(raw=b"\xff\xfe"), "field 'nested' holds a Blob"),
        ("number", "abc", "number: "),
    ],
    ids=["decimal", "datetime", "tuple", "object", "nul", "surrogate", "bytes", "wrong-type"],
)
def test_a_value_that_would_not_come_back_fails_by_name_without_retry(
    world: World, field: str, value: Any, says: str
) -> None:
    @workflow("loose")
    class LooseWorkflow:
        Context = Loose

        @step(start=True)
        def run(self):
            setattr(get_context(), field, value)
            return complete()

    run = world.engine.start("loose")
    stored = world.stored(run)

    assert stored.status is WorkflowStatus.FAILED
    assert says in stored.error
    assert len(world.attempts(run)) == 1
    assert stored.data == {"thing": None, "number": 0.0, "text": "", "raw": "", "nested": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", float("nan")),
        ("number", float("inf")),
        ("number", -float("inf")),
        ("raw", b"text"),
        ("raw", b"\xff\x00\xfe"),
    ],
)
def test_values_that_json_does_not_have_come_back(world: World, field: str, value: Any) -> None:
    seen: list[Any] = []

    @workflow("exotic")
    class Exotic:
        Context = Loose

        @step(start=True)
        def run(self):
            setattr(get_context(), field, value)
            return goto(self.read)

        @step()
        def read(self):
            assert type(get_context()) is Loose
            seen.append(getattr(get_context(), field))
            return complete()

    world.engine.start("exotic")

    assert repr(seen) == repr([value])


def test_a_context_that_says_how_its_bytes_are_written_is_taken_at_its_word(world: World) -> None:
    @workflow("hexadecimal")
    class Hexadecimal:
        class Context(BaseModel):
            model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
            raw: bytes = b"\xff"

        @step(start=True)
        def run(self):
            assert get_context().raw == b"\xff"
            return complete()

    run = world.engine.start("hexadecimal")

    assert (world.status(run), world.data(run)) == (WorkflowStatus.COMPLETED, {"raw": "ff"})


def test_an_alias_that_is_another_fields_name_is_not_taken_for_it(world: World) -> None:
    @workflow("crossed")
    class Crossed:
        class Context(BaseModel):
            left: int = Field(default=1, alias="right")
            right: int = Field(default=2, alias="left")

        @step(start=True)
        def run(self):
            assert (get_context().left, get_context().right) == (1, 2)
            return complete()

    run = world.engine.start("crossed")

    assert (world.status(run), world.data(run)) == (WorkflowStatus.COMPLETED, {"left": 1, "right": 2})


class Room(Enum):
    """A field's type that is not JSON."""

    ATTIC = "attic"


class Wide(BaseModel):
    """Fields of all kinds that a Context may declare, by names of their own."""

    model_config = ConfigDict(extra="allow")

    amount: Decimal = Decimal("0.10")
    on: date = date(2030, 2, 28)
    at: datetime = datetime(2030, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    clock: time = time(7, 30)
    length: timedelta = timedelta(days=-1, microseconds=1)
    number: UUID = UUID(int=7)
    room: Room = Room.ATTIC
    kind: Literal["a", "b"] = "b"
    pair: tuple[int, str] = (1, "x")
    names: set[str] = {"Ada"}
    fixed: frozenset[int] = frozenset({3})
    by_number: dict[int, str] = {4: "four"}
    raw: bytes = b"\xff\x00"
    parts: list[bytes] = [b"\xfe"]
    packed: Json[list[int]] = Field(default=[5], validate_default=False)
    either: int | str = "6"
    large: int = 2**60
    text: str = "\u2028 caf\u00e9 \U0001f642"
    stay: Stay = Stay(begins=datetime(2030, 1, 1, tzinfo=UTC))
    aliased: int = Field(default=8, alias="Aliased")


def test_every_kind_of_field_comes_back_as_it_was(world: World) -> None:
    """Under its own name, whatever its alias; and a field that is not declared, where the Context allows that."""
    seen: list[Wide] = []

    @workflow("wide")
    class WideWorkflow:
        Context = Wide

        @step(start=True)
        def write(self):
            self.context = Wide(Aliased=9, undeclared=[10])
            return goto(self.read)

        @step()
        def read(self):
            seen.append(get_context())
            return complete()

    run = world.engine.start("wide")

    assert world.stored(run).error == ""
    written = dict(Wide(Aliased=9, undeclared=[10]))
    assert dict(seen[0]) == written
    assert {name: type(value) for name, value in seen[0]} == {name: type(value) for name, value in written.items()}
    assert list(world.data(run)) == [*Wide.model_fields, "undeclared"]


def test_a_context_that_cannot_be_kept_falls_back_to_the_last_good_one(world: World) -> None:
    @workflow("bad")
    class Bad:
        Context = Loose

        @step(start=True)
        def run(self):
            get_context().thing = object()
            raise RuntimeError("after spoiling it")

    run = world.engine.start("bad")

    assert world.data(run)["thing"] is None
    assert world.status(run) is WorkflowStatus.WAITING


def moody(self: Any) -> Any:
    """Judge a Context as a validator that raises what pydantic does not expect."""
    if self.mood == "bad":
        raise RuntimeError("not in this mood")
    return self


class Moody(BaseModel):
    mood: str = "good"
    shelf: Any = None

    judge = model_validator(mode="after")(moody)


def in_a_bad_mood(ctx: Any) -> Any:
    ctx.mood = "bad"
    return complete()


def in_a_circle(ctx: Any) -> Any:
    ctx.shelf = []
    ctx.shelf.append(ctx.shelf)
    return complete()


def in_a_bad_mood_that_raises(ctx: Any) -> Any:
    ctx.mood = "bad"
    raise ValueError("and then this")


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (in_a_bad_mood, "the Context cannot be stored: RuntimeError: not in this mood"),
        (in_a_circle, "the Context cannot be stored: "),
        (in_a_bad_mood_that_raises, "ValueError: and then this"),
        (lambda ctx: sleep(timedelta.max), "sleep(...) takes at most 36525 days"),
        (lambda ctx: wait("x", timeout=timedelta.max), "takes at most 36525 days"),
        (lambda ctx: wait("x", since=timedelta.max), "a timedelta of at most 36525 days"),
        (lambda ctx: wait("x\ud800"), "signal contains a lone surrogate"),
        (lambda ctx: wait("x", key="\x00"), "key contains NUL"),
    ],
)
def test_what_the_author_gets_wrong_after_the_body_is_no_lost_worker(world: World, act: Any, told: str) -> None:
    @workflow("wrong", default_retry=Retry(max_attempts=1))
    class Wrong:
        Context = Moody

        @step(start=True)
        def run(self):
            return act(get_context())

    run = world.engine.start("wrong")

    assert world.status(run) is WorkflowStatus.FAILED
    assert told in world.stored(run).error
    assert world.history(run) == [("run", AttemptOutcome.EXHAUSTED)]
    assert (world.stored(run).lost_claims, world.data(run)) == (0, {"mood": "good", "shelf": None})


def test_a_context_that_is_judged_otherwise_by_the_next_step_is_a_raise_of_that_step(world: World) -> None:
    @workflow("fickle", default_retry=Retry(max_attempts=1))
    class Fickle:
        class Context(BaseModel):
            @model_validator(mode="after")
            def judge(self) -> Any:
                if moods:
                    raise RuntimeError("changed its mind")
                return self

        @step(start=True)
        def run(self):
            return goto(self.next)

        @step()
        def next(self):
            return complete()

    moods: list[str] = []
    with injected("finish.before_apply", lambda: moods.append("bad")):
        run = world.engine.start("fickle")

    assert "changed its mind" in world.stored(run).error
    assert world.history(run) == [("run", AttemptOutcome.GOTO), ("next", AttemptOutcome.EXHAUSTED)]


def test_a_sleep_that_is_over_already_goes_on_at_once(world: World) -> None:
    @workflow("late_riser")
    class LateRiser:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return sleep(timedelta(days=-1), then="up")

        @step()
        def up(self):
            assert get_wake().late == timedelta(0)
            return complete()

    run = world.engine.start("late_riser")
    world.sweep()

    assert world.status(run) is WorkflowStatus.COMPLETED


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a" * 50_000_000),
        RuntimeError("nul \x00 and \ud800"),
        Unprintable(),
        StopIteration(),
        ExceptionGroup("two", [ValueError(1), KeyError(2)]),
    ],
    ids=["huge", "unstorable", "unprintable", "stop-iteration", "group"],
)
def test_any_exception_is_recorded_within_limits(world: World, error: Exception) -> None:
    failing(error, Retry(max_attempts=1))
    stored = world.stored(world.engine.start("failing"))

    assert stored.status is WorkflowStatus.FAILED
    assert 0 < len(stored.error) <= 32 * 1024
    assert "\x00" not in stored.error
    stored.error.encode()


def test_error_texts_hold_no_values_of_a_failed_validation(world: World) -> None:
    class Card(BaseModel):
        number: int

    failing_with: list[Run] = []

    @workflow("leaky", default_retry=Retry(max_attempts=1))
    class Leaky:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            Card(number="4111-1111")  # type: ignore[arg-type]
            return complete()

    failing_with.append(world.engine.start("leaky"))
    error = world.stored(failing_with[0]).error

    assert "number: Input should be a valid integer" in error
    assert "4111" not in error.partition("\n")[0]


@pytest.mark.parametrize(("keep_context", "kept"), [(True, 1), (False, 0)])
def test_a_broken_transaction_is_a_failed_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch, *, keep_context: bool, kept: int
) -> None:
    @workflow("broken", default_retry=Retry(keep_context=keep_context))
    class Broken:
        class Context(BaseModel):
            tries: int = 0

        @step(start=True)
        def run(self):
            get_context().tries += 1
            if get_wake().attempt == 1:
                monkeypatch.setattr(world.storage, "apply", broken)
            return complete()

    real = world.storage.apply

    def broken(transitions: object) -> None:
        monkeypatch.setattr(world.storage, "apply", real)
        raise BrokenTransaction("a database error was swallowed in this step")

    run = world.engine.start("broken")
    assert "swallowed" in world.attempts(run)[0].detail
    assert world.attempts(run)[0].outcome is AttemptOutcome.RETRY
    assert world.data(run) == {"tries": kept}

    world.advance(seconds=1)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_result_that_comes_after_the_timeout_is_refused(world: World) -> None:
    @workflow("late")
    class Late:
        class Context(BaseModel):
            done: bool = False

        @step(start=True, timeout=timedelta(seconds=5), retry=Retry(max_attempts=1))
        def run(self):
            world.clock.at += timedelta(seconds=6)
            world.engine.signal("sent")
            return complete(done=True)

    run = world.engine.start("late")

    assert world.status(run) is WorkflowStatus.FAILED
    assert "StepTimedOut: Step 'run' took 0:00:06, longer than its timeout of 0:00:05" in world.stored(run).error
    assert world.storage.signals() == []


def test_a_result_that_comes_just_at_the_timeout_counts(world: World) -> None:
    @workflow("punctual")
    class Punctual:
        Context = type("Context", (BaseModel,), {})

        @step(start=True, timeout=timedelta(seconds=5), retry=Retry(max_attempts=1))
        def run(self):
            world.clock.at += timedelta(seconds=5)
            return complete()

    assert world.status(world.engine.start("punctual")) is WorkflowStatus.COMPLETED


def test_a_slow_atomic_step_is_warned_about(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @workflow("slow")
    class Slow:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            world.clock.at += timedelta(seconds=2)
            return complete()

    with caplog.at_level(logging.WARNING):
        world.engine.start("slow")

    assert "held its transaction for 0:00:02" in caplog.text


def test_a_step_gets_a_fresh_instance_on_every_attempt(world: World) -> None:
    seen: list[object] = []

    @workflow("fresh")
    class Fresh:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            seen.append(getattr(self, "leftover", None))
            self.leftover = True
            if len(seen) < 2:
                raise RuntimeError
            return complete()

    world.engine.start("fresh")
    world.advance(seconds=1)

    assert seen == [None, None]


def test_a_context_kept_and_changed_after_the_return_changes_nothing(world: World) -> None:
    kept: list[Any] = []

    @workflow("keeper")
    class Keeper:
        class Context(BaseModel):
            items: list[int] = []

        @step(start=True)
        def run(self):
            kept.append(get_context())
            return goto(self.other)

        @step()
        def other(self):
            kept[0].items.append(1)
            return complete()

    run = world.engine.start("keeper")

    assert world.data(run) == {"items": []}


@pytest.mark.parametrize(
    "message",
    [
        'duplicate key value violates unique constraint "u"\nDETAIL:  Key (email)=(ada@example.org) already exists.',
        "(1062, \"Duplicate entry 'ada@example.org' for key 'email'\")",
    ],
    ids=["postgresql", "mariadb"],
)
def test_error_texts_hold_no_values_of_rows(world: World, message: str) -> None:
    failing(RuntimeError(message), Retry(max_attempts=1))
    error = world.stored(world.engine.start("failing")).error

    assert "uplicate" in error
    assert "ada@example.org" not in error


def test_error_texts_tell_what_caused_the_error(world: World) -> None:
    @workflow("wrapping", default_retry=Retry(max_attempts=1))
    class Wrapping:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            try:
                self.call_the_bank()
            except OSError as error:
                raise RuntimeError("not charged") from error

        def call_the_bank(self):
            raise ConnectionRefusedError("the bank is closed")

    error = world.stored(world.engine.start("wrapping")).error

    first, _, rest = error.partition("\n")
    assert first == "RuntimeError: not charged"
    assert "Caused by ConnectionRefusedError: the bank is closed" in rest
    assert "in call_the_bank" in rest


def test_error_texts_pass_through_the_projects_filter(world: World) -> None:
    world.set_policy(Policy(redact=lambda text: text.replace("hunter2", "***")))
    failing(RuntimeError("password hunter2 is wrong"), Retry(max_attempts=1))
    run = world.engine.start("failing")

    assert world.stored(run).error.startswith("RuntimeError: password *** is wrong")
    assert "hunter2" not in world.attempts(run)[0].detail


@pytest.mark.parametrize("redact", [lambda text: 1 / 0, lambda text: None])
def test_a_filter_that_fails_withholds_the_text(
    world: World, caplog: pytest.LogCaptureFixture, redact: Callable[[str], str]
) -> None:
    world.set_policy(Policy(redact=redact))
    failing(RuntimeError("a secret"), Retry(max_attempts=1))
    run = world.engine.start("failing")

    assert (world.status(run), world.stored(run).lost_claims) == (WorkflowStatus.FAILED, 0)
    assert world.stored(run).error.startswith("(withheld: AUTOMATION_WORKFLOWS['REDACT'] raised ")
    assert "secret" not in str(world.attempts(run)) + caplog.text


def test_the_reason_of_a_failure_is_kept_within_limits(world: World) -> None:
    @workflow("long_winded")
    class LongWinded:
        Context = type("Context", (BaseModel,), {})

        @step(start=True)
        def run(self):
            return fail("no\x00" + "!" * 100_000)

    error = world.stored(world.engine.start("long_winded")).error

    assert error.startswith("no\\x00!")
    assert len(error) == 32 * 1024
