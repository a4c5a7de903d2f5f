"""What a step returns: a closed family of values, and the words that make them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, final

from automation.workflows.authoring.durations import LONGEST, is_duration
from automation.workflows.authoring.entities import EntityRef, entity_of
from automation.workflows.authoring.payloads import check_text
from automation.workflows.errors import ResultError, UsageError

__all__ = [
    "ANY",
    "EVENT_PREFIX",
    "NAME_LENGTH",
    "Any_",
    "Child",
    "Children",
    "Complete",
    "Fail",
    "Goto",
    "Since",
    "Sleep",
    "StepResult",
    "StepTarget",
    "Wait",
    "checked_key",
    "complete",
    "fail",
    "goto",
    "run_child",
    "run_children",
    "sleep",
    "wait",
    "wait_for_event",
]

EVENT_PREFIX: Final = "event:"
"""Names of signals that events send; nobody else may send them."""
NAME_LENGTH: Final = 255


@final
class Any_:  # noqa: N801 - the type behind ANY, never written by users
    """The type of `ANY`."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = Any_()
"""As `entity=ANY`: events of every entity wake the run."""

StepTarget: TypeAlias = str | Callable[..., Any]
"""A step, by name or as `self.step`."""
Since: TypeAlias = Literal["run", "now"] | timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto:
    """Go on with another step."""

    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Go on after a while."""

    duration: timedelta
    then: str | None = None
    """The step to enter; None: the one that sleeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Go on when a signal comes, or when its time is over."""

    signal: str
    timeout: timedelta | None = None
    on_timeout: str | None = None
    then: str | None = None
    key: str | None = None
    entity: EntityRef | Any_ | None = None
    """None: what the run is about, where it is about something."""
    since: Since = None
    accept: tuple[str, ...] | None = None
    """Payload keys that may be merged; None: all that the Context declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A run to start, as named by its parent."""

    workflow: str | type
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """Start other workflows and go on when all of them have ended."""

    children: tuple[Child, ...]
    then: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The run is done."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Set on the Context where it declares them; the result that a parent is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The run has failed, by the author's own judgement: no retry."""

    reason: str


StepResult: TypeAlias = Goto | Sleep | Wait | Children | Complete | Fail


def goto(step: StepTarget) -> Goto:
    """Go on with `step`, in its own transaction, at once.

    >>> goto("notify")
    Goto(step='notify')
    """
    return Goto(step=_name(step))


def sleep(duration: timedelta, *, then: StepTarget | None = None) -> Sleep:
    """Enter `then` after `duration`; without `then`, this same step again."""
    return Sleep(duration=_duration(duration, "sleep(...)"), then=_optional(then))


def complete(**values: Any) -> Complete:
    """End the run well; `values` are set on the Context where it declares them, and told to a parent."""
    return Complete(values=values)


def fail(reason: str) -> Fail:
    """End the run as FAILED with this reason, without another attempt."""
    return Fail(reason=str(reason))


def run_child(workflow: str | type, /, *, then: StepTarget | None = None, **kwargs: Any) -> Children:
    """Start one run of `workflow` with `kwargs` and go on when it has ended, however it ended.

    `get_wake().payload["children"]` tells: a list of `id`, `name`, `status`, `result` and `error`.
    """
    return Children(children=(Child(workflow=workflow, kwargs=kwargs),), then=_optional(then))


def run_children(
    children: Sequence[Children | str | type | tuple[str | type, Mapping[str, Any]]], *, then: StepTarget | None = None
) -> Children:
    """Start all and go on when the last has ended: `run_children([run_child(A, x=1), (B, {"y": 2}), C])`."""
    return Children(children=tuple(child for given in children for child in _children(given)), then=_optional(then))


def wait_for_event(
    event_name: str,
    *,
    timeout: timedelta | None = None,
    on_timeout: StepTarget | None = None,
    then: StepTarget | None = None,
    entity: Any = None,
    since: Since = None,
) -> Wait:
    """Wait until the event `event_name` occurs on what the run is about.

    `entity=instance` asks for another instance, `entity=ANY` for any. The event's payload is merged like a signal's.
    """
    asked = entity if entity is None or isinstance(entity, Any_) else entity_of(entity)
    return _wait(f"{EVENT_PREFIX}{event_name}", timeout, on_timeout, then, None, asked, since)


class _WaitWord:
    """`wait`: called, it waits for a signal; `wait.for_signal` and `wait.for_event` say which."""

    def __call__(
        self,
        signal: str,
        *,
        timeout: timedelta | None = None,
        on_timeout: StepTarget | None = None,
        then: StepTarget | None = None,
        key: str | None = None,
        since: Since = None,
        accept: Sequence[str] | None = None,
    ) -> Wait:
        """Wait until `engine.signal(signal)`, at most for `timeout`.

        On the signal, the payload's keys that the Context declares are merged, and `then`, or this same step, is
        entered. At the timeout, `on_timeout`, or this same step. With `key`, only signals with that key count. With
        `accept`, only these keys are merged: say it where the payload comes from outside the project.
        """
        return _wait(signal, timeout, on_timeout, then, key, None, since, accept)

    for_signal = __call__
    """The same as calling `wait`."""

    def for_event(
        self,
        event_name: str,
        *,
        timeout: timedelta | None = None,
        on_timeout: StepTarget | None = None,
        then: StepTarget | None = None,
        entity: Any = None,
        since: Since = None,
    ) -> Wait:
        """The same as `wait_for_event`."""
        return wait_for_event(event_name, timeout=timeout, on_timeout=on_timeout, then=then, entity=entity, since=since)

    def __repr__(self) -> str:
        return "wait"


wait: Final = _WaitWord()


def _wait(  # noqa: PLR0917 - private, and called three times with the same names
    signal: str,
    timeout: timedelta | None,
    on_timeout: StepTarget | None,
    then: StepTarget | None,
    key: str | None,
    entity: EntityRef | Any_ | None,
    since: Since,
    accept: Sequence[str] | None = None,
) -> Wait:
    if not isinstance(signal, str) or not signal or len(signal) > NAME_LENGTH:
        raise ResultError(f"A wait needs the name of a signal, 1 to {NAME_LENGTH} characters, not {signal!r:.300}.")
    if on_timeout is not None and timeout is None:
        raise ResultError(f"wait({signal!r}, on_timeout=...) without timeout= would never get there. Add timeout=.")
    check_text(signal, "signal")
    if not (since is None or since in ("run", "now") or is_duration(since)):
        raise ResultError(
            f'wait({signal!r}, since={since!r}): since is "run", "now" or a timedelta of at most {LONGEST.days} days.'
        )
    if isinstance(accept, str) or not all(isinstance(name, str) for name in accept or ()):
        raise ResultError(f"wait({signal!r}, accept={accept!r:.300}): accept is a list of fields' names.")
    return Wait(
        signal=signal,
        accept=None if accept is None else tuple(accept),
        timeout=None if timeout is None else _duration(timeout, f"wait({signal!r}, timeout=...)"),
        on_timeout=_optional(on_timeout),
        then=_optional(then),
        key=None if key is None else checked_key(key),
        entity=entity,
        since=since,
    )


def checked_key(key: object) -> str:
    """Return the key of a signal or a wait as text. Raises UsageError for one that no signal can have."""
    text = str(key)
    if not 1 <= len(text) <= NAME_LENGTH:
        raise UsageError(f"key={text!r:.300} must be text of 1 to {NAME_LENGTH} characters.")
    check_text(text, "key")
    return text


def _children(given: Any) -> Sequence[Child]:
    match given:
        case Children():
            return given.children
        case (str() | type(), Mapping()):
            return (Child(workflow=given[0], kwargs=given[1]),)
        case str() | type():
            return (Child(workflow=given),)
        case _:
            raise ResultError(
                f"run_children got {given!r:.300}. Give run_child(Workflow, ...), (Workflow, kwargs) or Workflow."
            )


def _duration(value: timedelta, where: str) -> timedelta:
    """Return how long; a time that is over already, as computed from a date, is no time at all."""
    if not isinstance(value, timedelta):
        raise ResultError(f"{where} takes a timedelta, not {value!r}. Write timedelta(minutes=...).")
    if value > LONGEST:
        raise ResultError(
            f"{where} takes at most {LONGEST.days} days, not {value!r}. A wait without timeout= never ends."
        )
    return max(value, timedelta(0))


def _optional(step: StepTarget | None) -> str | None:
    return None if step is None else _name(step)


def _name(step: StepTarget) -> str:
    if isinstance(step, str):
        return step
    name = getattr(step, "__name__", None)
    if not isinstance(name, str):
        raise ResultError(f"{step!r} is not a step. Name one as 'step' or self.step.")
    return name
