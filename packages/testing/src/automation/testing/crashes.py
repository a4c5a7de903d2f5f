"""The death of a worker at each point where it can die, and what it must not change."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from textwrap import indent
from typing import Any

from automation.testing.faults import WorkerDied
from automation.testing.history import runs_of
from automation.testing.installed import events_aliases, events_models, registry, workflows_wiring
from automation.testing.messages import Kind, Message
from automation.testing.owed import Owed

__all__ = [
    "CrashPoint",
    "Passage",
    "UnsafeStepError",
    "explain",
    "points",
    "release_what_the_dead_held",
]

_BODY_HAS_RUN = {
    "step.after_body": "The code had run and its result was not stored yet",
    "finish.before_apply": "The code had run and its result was not stored yet",
    "finish.before_commit": "The code had run and its result was not committed yet",
    "callback.after_body": "The code had run and that was not stored yet",
    "callback.before_commit": "The code had run and that was not committed yet",
}
"""The points after which a repeated step, or callback, does again what it has done: what dies there is run again."""


class UnsafeStepError(AssertionError):
    """A step, or a callback, that is repeated after its worker died changes how the story ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPoint:
    """Where a worker died."""

    name: str
    """The point in the engine: `finish.before_commit`, for example."""
    place: str
    """What was being worked on: `step 'remind' of 'checkin_due.Reminder'`, for example."""
    is_atomic: bool = True
    """The rows it wrote were rolled back with it: not so with `atomic=False`."""

    @property
    def has_run_the_body(self) -> bool:
        """What the step or callback did outside the database was done, and will be done again."""
        return self.name in _BODY_HAS_RUN

    def __str__(self) -> str:
        if self.has_run_the_body:
            return (
                f"{_BODY_HAS_RUN[self.name]} when the worker was killed ({self.name}),\nso {self.place} was run again"
            )
        return f"The worker was killed in {self.place}, at {self.name}"


@dataclass(slots=True)
class Passage:
    """Counts the points that workers pass, and kills the worker at one of them."""

    kill_at: int | None = None
    """Which of the points passed, counted from 1; None kills nobody, and 0 everybody."""
    is_at_work: Callable[[], bool] = lambda: True
    """Says whether a worker is at work now: the process of the test itself is never killed."""
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
            place, is_atomic = _subject(message) if self.place is None else (self.place, _is_atomic(self.place))
            self.point = CrashPoint(name=self.died_at, place=place, is_atomic=is_atomic)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Stand at every point there is."""
        known = points()
        if self.only not in {None, *known}:
            raise ValueError(f"{self.only!r} is not a point where a worker can die. Points: {', '.join(known)}.")
        with ExitStack() as stack:
            for name, faults in known.items():
                stack.enter_context(faults.injected(name, self._passer(name)))
            yield

    def _passer(self, name: str) -> Callable[..., None]:
        kind = name.partition(".")[0]
        # Events tell what they are at; of the engine, the message that is being worked on tells.
        return lambda *subject: self.through(name, *(f"{kind} {each!r}" for each in subject))


def points() -> dict[str, Any]:
    """Return every point at which a worker can die, with the module that has it: the engine's, then those of events."""
    modules = [
        import_module(module)
        for package, module in _FAULTS.items()
        if find_spec(package) is not None and (package != "automation.events" or events_models() is not None)
    ]
    return {name: module for module in modules for name in module.POINTS}


def release_what_the_dead_held() -> None:
    """Let every claim be over now, as it would be some minutes later, so that the times of a story stay the same."""
    now = datetime.now(UTC)
    owed = Owed()
    if owed.sees_runs:
        _release_runs(now)
    if owed.sees_events:
        models = events_models()
        assert models is not None, "they are seen"
        for alias in events_aliases():
            held = models.EventDelivery.objects.using(alias).filter(status="pending", claim__isnull=False)
            held.update(next_at=now, claim_expires_at=now)


def explain(failures: list[tuple[CrashPoint, str]], told: int) -> str:
    """Say which steps are not safe to repeat, why, and what to do."""
    # Where it ends otherwise though no code was repeated, repeating the code is not what makes the difference.
    innocent = {point.place for point, _ in failures if not point.has_run_the_body}
    unsafe = {point.place: point for point, _ in failures if point.place not in innocent}
    headline = [f"{place[0].upper()}{place[1:]} is not safe to repeat." for place in unsafe]
    count = (
        f"The story was told with {told} deaths of a worker, one at a time; after {len(failures)} it ended otherwise."
    )
    # The points of one place tell the same story; its first one is enough.
    first = list({point.place: _told(point, text) for point, text in reversed(failures)}.values())[::-1]
    more = [f"\n... and {len(first) - _SHOWN} more places like these."] if len(first) > _SHOWN else []
    return "\n".join([*headline, count, *first[:_SHOWN], *more, *_advice(list(unsafe.values()))])


def _told(point: CrashPoint, text: str) -> str:
    return f"\n{point}:\n{indent(text, '  ')}"


def _advice(unsafe: list[CrashPoint]) -> Iterator[str]:
    if not unsafe:
        yield f"\n{_NO_STEP}"
        return
    yield f"\n{_WHY if any(point.is_atomic for point in unsafe) else _WHY_NOT_ATOMIC}"
    if not all(point.is_atomic for point in unsafe):
        yield _BE_ATOMIC
    yield _SAY_WHICH
    if any(point.place.startswith("step ") for point in unsafe):
        yield _A_STEPS_KEY
    if any(point.place.startswith("callback ") for point in unsafe):
        yield _A_CALLBACKS_KEY
    yield _OR_ELSE


_FAULTS = {
    "automation.workflows": "automation.workflows.engine.faults",
    "automation.events": "automation.events.faults",
}
_SHOWN = 3
_NO_STEP = """\
It ends otherwise where no code was run twice, so no step is accused. Does the story rely on what is lost with a worker,
such as its memory, or tell what a death itself changes, such as the number of tries?"""
_WHY = """\
A worker can die at any moment: a deploy, a power cut, no memory left. What its code had written to the database is
rolled back, and the code is run again. What it did elsewhere (a mail, a payment, a file) stays, and is done twice.
To make it safe, do one of these:"""
_WHY_NOT_ATOMIC = """\
A worker can die at any moment: a deploy, a power cut, no memory left. Then the code is run again. With atomic=False
there is no transaction around it: what it had written to the database stays, like what it did elsewhere (a mail, a
payment, a file), and is done twice.
To make it safe, do one of these:"""
_BE_ATOMIC = "- Leave atomic=False out, where all that it does is done in the database."
_SAY_WHICH = "- Give the other side something by which it knows that it has heard this before."
_A_STEPS_KEY = "  get_wake().idempotency_key is the same each time a step is repeated."
_A_CALLBACKS_KEY = "  event.pk is the same each time a callback is repeated."
_OR_ELSE = """\
- Look first whether it has been done.
- Let it happen last, in a step or callback of its own, if doing it twice does no harm."""


def _subject(message: Message | None) -> tuple[str, bool]:
    """Return what a message is about, and whether its rows go with it."""
    if message is None or message.kind is Kind.HINT:
        return "a sweep", True
    if message.kind is Kind.DELIVERY:
        return "a delivery", True
    run = workflows_wiring().storage.load(message.id)
    if run is None:
        return f"run {message.id}", True
    definition = registry().exact(run.name, run.version)
    step = None if definition is None else definition.steps.get(run.current_step)
    return f"step {run.current_step!r} of {run.name!r}", step is None or step.atomic


def _is_atomic(place: str) -> bool:
    callbacks = import_module("automation.events.callbacks").callback_registry.all()
    return all(callback.atomic for callback in callbacks if place == f"callback {callback.name!r}")


def _release_runs(now: datetime) -> None:
    transition = import_module("automation.workflows.runs.transition").Transition
    storage = workflows_wiring().storage
    for run in runs_of():
        if run.status == "running":
            after = replace(run, revision=run.revision + 1, claim_expires_at=now, next_at=now)
            storage.apply([transition(before=run, after=after, cause="ClaimOver")])
