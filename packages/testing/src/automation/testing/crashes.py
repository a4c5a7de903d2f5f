"""The death of a worker at each point where it can die, and what it must not change."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from automation.testing.faults import WorkerDied
from automation.testing.history import callback_name, runs_of
from automation.testing.installed import events_models, workflows_wiring
from automation.testing.messages import Kind, Message
from automation.testing.owed import Owed
from automation.testing.swaps import swapped

__all__ = ["CrashPoint", "Passage", "UnsafeStepError", "compare", "explain", "outcome_of", "release_what_the_dead_held"]

_BODY_HAS_RUN = ("step.after_body", "finish.before_apply", "finish.before_commit", "callback.after_body")
"""The points at which a step's code has run and its result is not stored: what dies there is run again."""

_CALLBACK_POINTS = ("callback.before_body", "callback.after_body")


class UnsafeStepError(AssertionError):
    """A step, or a callback, that is repeated after its worker died changes how the story ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPoint:
    """Where a worker died."""

    name: str
    """The point in the engine: `finish.before_commit`, for example."""
    place: str
    """What was being worked on: `step 'remind' of 'checkin_due.Reminder'`, for example."""

    @property
    def has_run_the_body(self) -> bool:
        """What the step or callback did outside the database was done, and will be done again."""
        return self.name in _BODY_HAS_RUN

    def __str__(self) -> str:
        return f"{self.place}, at {self.name}"


@dataclass(slots=True)
class Passage:
    """Counts the points that workers pass, and kills the worker at one of them."""

    kill_at: int | None = None
    """Which of the points passed, counted from 1; None kills nobody, and 0 everybody."""
    is_at_work: Callable[[], bool] = lambda: True
    """Tell whether a worker is at work now: the process of the test itself is never killed."""
    passed: int = 0
    names: set[str] = field(default_factory=set)
    """The points that were passed at least once."""
    died_at: str | None = None
    place: str | None = None
    point: CrashPoint | None = None
    only: str | None = None
    """Count only points of this name."""

    def through(self, name: str, place: str | None = None) -> None:
        """Pass a point, or die there."""
        if not self.is_at_work() or self.only not in {None, name}:
            return
        self.passed += 1
        self.names.add(name)
        if self.kill_at in {0, self.passed}:
            self.died_at, self.place = name, place
            raise WorkerDied(name)

    def mourn(self, message: Message | None) -> None:
        """Note where the worker died that was at this message, or in a sweep."""
        if self.died_at is not None and self.point is None:
            self.point = CrashPoint(name=self.died_at, place=self.place or _place(message))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Stand at every point there is."""
        known = (*_engine_points(), *_CALLBACK_POINTS)
        if self.only not in {None, *known}:
            raise ValueError(f"{self.only!r} is not a point where a worker can die. Points: {', '.join(known)}.")
        with ExitStack() as stack:
            for name in _engine_points():
                stack.enter_context(_faults().injected(name, self._passer(name)))
            if events_models() is not None:
                stack.enter_context(_callbacks_watched(self.through))
            yield

    def _passer(self, name: str) -> Callable[[], None]:
        return lambda: self.through(name)


def release_what_the_dead_held() -> None:
    """Let every claim be over now, as it would be some minutes later, so that the times of a story stay the same."""
    now = datetime.now(UTC)
    owed = Owed()
    if owed.sees_runs:
        _release_runs(now)
    if owed.sees_events:
        models = events_models()
        assert models is not None, "they are seen"
        models.EventDelivery.objects.filter(status="pending", claim__isnull=False).update(
            next_at=now, claim_expires_at=now
        )


def outcome_of(returned: Any) -> dict[str, Any]:
    """Give how a story ended, without what differs from one telling to the next (keys that the database numbers)."""
    owed = Owed()
    outcome: dict[str, Any] = {"returned": returned}
    if owed.sees_runs:
        outcome["runs"] = sorted(f"{run.name} {run.status}" for run in runs_of())
    if owed.sees_events:
        models = events_models()
        assert models is not None, "they are seen"
        calls = models.EventDelivery.objects.exclude(phase="relay").values_list("callback", "status")
        outcome["callbacks"] = sorted(f"{callback} {status}" for callback, status in calls)
    outcome["mails"] = sorted(_numberless(f"{mail.subject} to {', '.join(mail.to)}") for mail in _outbox())
    return outcome


def compare(point: CrashPoint, expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Give the differences as lines, or an empty text when there are none."""
    changed = [kind for kind in expected if expected[kind] != found[kind]]
    lines = [f"  {kind}: {found[kind]!r}\n  {' ' * len(kind)}  instead of {expected[kind]!r}" for kind in changed]
    return "\n".join([f"The worker died in {point}. Then:", *lines]) if lines else ""


def explain(points: list[tuple[CrashPoint, str]], told: int) -> str:
    """Say which steps are not safe to repeat, why, and what to do."""
    unsafe = dict.fromkeys(point.place for point, _ in points if point.has_run_the_body)
    headline = [f"{place[0].upper()}{place[1:]} is not safe to repeat." for place in unsafe]
    count = f"{len(points)} of {told} deaths changed how the story ends."
    # The points of one place tell the same story; its first one is enough.
    first = list({point.place: text for point, text in reversed(points)}.values())[::-1]
    return "\n".join([*headline, count, "", *first[:_SHOWN], *(["", _REMEDY] if unsafe else [])])


_SHOWN = 3
_REMEDY = """\
A worker that dies after the code has run and before its result is stored leaves no trace in the database: what was
written there is rolled back, and the code is run again. What it did elsewhere is done twice.
Let the other side know that it has heard this before: get_wake().idempotency_key is the same each time a step is
repeated. Or look first whether it has been done, or move it into a step of its own."""


def _engine_points() -> tuple[str, ...]:
    return tuple(_faults().POINTS) if find_spec("automation.workflows") is not None else ()


def _faults() -> Any:
    return import_module("automation.workflows.engine.faults")


def _place(message: Message | None) -> str:
    if message is None or message.kind is Kind.HINT:
        return "a sweep"
    if message.kind is Kind.DELIVERY:
        return "a delivery"
    run = workflows_wiring().storage.load(message.id)
    return f"step {run.current_step!r} of {run.name!r}" if run is not None else f"run {message.id}"


def _release_runs(now: datetime) -> None:
    transition = import_module("automation.workflows.runs.transition").Transition
    storage = workflows_wiring().storage
    for run in runs_of():
        if run.status == "running":
            after = replace(run, revision=run.revision + 1, claim_expires_at=now, next_at=now)
            storage.apply([transition(before=run, after=after, cause="ClaimOver")])


@contextmanager
def _callbacks_watched(through: Callable[[str, str], None]) -> Iterator[None]:
    """Stand before and after each callback. A death is not recorded there: a dead process records nothing."""
    delivering: Any = import_module("automation.events.delivering")
    run, record = delivering._run, delivering._record_failure

    def watched_run(function: Any, event: Any) -> None:
        place = f"callback {callback_name(function)!r}"
        through("callback.before_body", place)
        run(function, event)
        through("callback.after_body", place)

    def recorded_unless_dead(delivery: Any, error: BaseException, *, using: str) -> None:
        if not isinstance(error, WorkerDied):
            record(delivery, error, using=using)

    with swapped(delivering, "_run", watched_run), swapped(delivering, "_record_failure", recorded_unless_dead):
        yield


def _outbox() -> list[Any]:
    mail = sys.modules.get("django.core.mail")
    return list(getattr(mail, "outbox", []))


def _numberless(text: str) -> str:
    return re.sub(r"\d+", "#", text)
