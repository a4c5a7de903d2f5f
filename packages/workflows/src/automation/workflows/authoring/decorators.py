"""The three decorators that turn a class into a workflow. Mistakes are found here, at import."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, overload

from automation.workflows.authoring.contexts import check_context_class
from automation.workflows.authoring.definitions import StepDefinition, Trigger, WorkflowDefinition
from automation.workflows.authoring.durations import LONGEST, is_duration
from automation.workflows.authoring.entities import label_of
from automation.workflows.authoring.registry import registry
from automation.workflows.authoring.results import NAME_LENGTH
from automation.workflows.authoring.retry import Retry
from automation.workflows.authoring.targets import check_targets
from automation.workflows.errors import DefinitionError

__all__ = ["event_workflow", "on_fail", "step", "workflow"]

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C", bound=type)
_MARK = "__automation_step__"
_RESERVED = frozenset({"Context", "context", "create_context", "should_run_for_event", "upgrade_context"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What `@step` leaves on the function until the class is read."""

    start: bool = False
    retry: Retry | None = None
    atomic: bool = True
    timeout: timedelta | None = None
    on_fail: bool = False


def step(
    start: bool = False,  # noqa: FBT001, FBT002 - the guide writes step(start=True)
    retry: Retry | None = None,
    *,
    atomic: bool = True,
    timeout: timedelta | None = None,
) -> Callable[[_F], _F]:
    """Make a method a step: `@step(start=True)` for the first one, `@step()` for the others.

    `atomic=False` runs the body without a transaction and without any lock, for calls to the outside world that take
    long; `timeout` bounds it and is how long a worker's claim lasts.
    """
    if callable(start):
        raise DefinitionError(f"@step on {_title(start)} must be called. Write @step() or @step(start=True).")
    _check_retry("@step", "retry", retry)
    _check_time("@step", "timeout", timeout)
    return _marker(_Mark(start=start, retry=retry, atomic=atomic, timeout=timeout))


@overload
def on_fail(function: _F, /) -> _F: ...
@overload
def on_fail(
    *, retry: Retry | None = None, atomic: bool = True, timeout: timedelta | None = None
) -> Callable[[_F], _F]: ...
def on_fail(
    function: Any = None,
    /,
    *,
    retry: Retry | None = None,
    atomic: bool = True,
    timeout: timedelta | None = None,
) -> Any:
    """Make a method the one that cleans up after a failure: a step of its own, retried like one.

    It is entered once when the run has failed for good; `get_wake().payload` has `step` and `error`. It returns
    nothing, `complete(...)` to set Context fields, or `fail(...)`; in any case the run then ends FAILED.
    """
    _check_retry("@on_fail", "retry", retry)
    _check_time("@on_fail", "timeout", timeout)
    mark = _marker(_Mark(retry=retry, atomic=atomic, timeout=timeout, on_fail=True))
    return mark if function is None else mark(function)


def workflow(
    name: str,
    version: str = "1",
    default_retry: Retry | None = None,
    *,
    current: bool = False,
    upgrades: tuple[str, ...] = (),
    deadline: timedelta | None = None,
) -> Callable[[_C], _C]:
    """Register a class as the workflow `name`, to be started by `engine.start(name, ...)`."""
    if not isinstance(name, str):
        raise DefinitionError(f"@workflow on {_title(name)} needs a name. Write @workflow('a_name').")

    def register(cls: _C) -> _C:
        definition = _read(cls, name, version, default_retry, deadline=deadline, current=current, upgrades=upgrades)
        registry.register(definition)
        return cls

    return register


def event_workflow(
    event_name: str,
    entity_type: str | type[Any] = "*",
    offset_minutes: float = 0,
    *,
    offset: timedelta | None = None,
    name: str | None = None,
    version: str = "1",
    default_retry: Retry | None = None,
    current: bool = False,
    upgrades: tuple[str, ...] = (),
    deadline: timedelta | None = None,
) -> Callable[[_C], _C]:
    """Register a class as a workflow that events named `event_name` start, `offset` after (before, when negative).

    `entity_type` is `"reservation"`, `"bookings.reservation"` or the model itself.
    """
    if not isinstance(event_name, str):
        raise DefinitionError(f"@event_workflow on {_title(event_name)} needs an event. Write @event_workflow('x').")
    if offset is not None and offset_minutes:
        raise DefinitionError(f"@event_workflow({event_name!r}) has both offset and offset_minutes. Keep one.")
    if not isinstance(offset_minutes, int | float) or not abs(offset_minutes) <= LONGEST / timedelta(minutes=1):
        raise DefinitionError(
            f"@event_workflow({event_name!r}, offset_minutes={offset_minutes!r}) is not a number of minutes. "
            f"Write offset_minutes=-60, at most {LONGEST.days} days, or offset=timedelta(...)."
        )
    chosen = timedelta(minutes=offset_minutes) if offset is None else offset
    if not isinstance(chosen, timedelta) or abs(chosen) > LONGEST:
        raise DefinitionError(
            f"@event_workflow({event_name!r}, offset={chosen!r}) is not a time before or after an event. "
            "Write offset=timedelta(minutes=...)."
        )
    trigger = Trigger(event_name=event_name, entity_type=_entity_type(event_name, entity_type), offset=chosen)

    def register(cls: _C) -> _C:
        named = name or f"{event_name}.{cls.__name__}"
        definition = _read(cls, named, version, default_retry, deadline=deadline, current=current, upgrades=upgrades)
        registry.register(definition.with_trigger(trigger))
        return cls

    return register


def _marker(mark: _Mark) -> Callable[[_F], _F]:
    def put(function: _F) -> _F:
        if not inspect.isfunction(function):
            raise DefinitionError(f"@step is for a method of a workflow class, not for {function!r}.")
        setattr(function, _MARK, mark)
        return function

    return put


def _read(
    cls: type,
    name: str,
    version: str,
    default_retry: Retry | None,
    *,
    deadline: timedelta | None,
    current: bool,
    upgrades: tuple[str, ...],
) -> WorkflowDefinition:
    owner = f"{cls.__module__}.{cls.__qualname__}"
    _check_name(owner, "name", name, NAME_LENGTH)
    _check_name(owner, "version", version, 64)
    _check_retry(f"Workflow class {owner}: @workflow", "default_retry", default_retry)
    _check_time(f"Workflow class {owner}: @workflow", "deadline", deadline)
    _check_upgrades(owner, upgrades)
    context = check_context_class(owner, getattr(cls, "Context", None))
    marks = _marks(cls)
    steps = {at: _step(owner, at, function, mark, default_retry) for at, (function, mark) in marks.items()}
    handlers = [at for at, (_, mark) in marks.items() if mark.on_fail]
    if len(handlers) > 1:
        named = ", ".join(handlers)
        raise DefinitionError(f"Workflow class {owner} has multiple @on_fail handlers: {named}. Keep one.")
    definition = WorkflowDefinition(
        name=name,
        version=version,
        owner=owner,
        cls=cls,
        context=context,
        steps=steps,
        start_step=_start_step(owner, steps),
        on_fail=handlers[0] if handlers else None,
        deadline=deadline,
        current=current,
        upgrades=tuple(upgrades),
    )
    check_targets(definition)
    return definition


def _marks(cls: type) -> Mapping[str, tuple[Any, _Mark]]:
    """Return the marked methods by name, inherited ones included, in the order of their definition."""
    found: dict[str, tuple[Any, _Mark]] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            mark = getattr(inspect.unwrap(member) if callable(member) else member, _MARK, None)
            if isinstance(mark, _Mark):
                found[name] = (member, mark)
            elif name in found:
                del found[name]
    return found


def _step(owner: str, name: str, function: Any, mark: _Mark, default_retry: Retry | None) -> StepDefinition:
    if name in _RESERVED:
        raise DefinitionError(f"Step {name!r} of workflow class {owner} has a name that the engine uses. Rename it.")
    _check_name(owner, "step", name, NAME_LENGTH)
    return StepDefinition(
        name=name,
        function=function,
        start=mark.start,
        retry=mark.retry or default_retry or Retry(),
        atomic=mark.atomic,
        timeout=mark.timeout,
        is_async=inspect.iscoroutinefunction(inspect.unwrap(function)),
    )


def _start_step(owner: str, steps: Mapping[str, StepDefinition]) -> str:
    starts = [step.name for step in steps.values() if step.start]
    if not starts:
        raise DefinitionError(
            f"Workflow class {owner} must have a start step: "
            "it must have exactly one step marked with start=True. Write @step(start=True) over the first one."
        )
    if len(starts) > 1:
        raise DefinitionError(
            f"Workflow class {owner} has multiple start steps: {', '.join(starts)}. "
            "It must have exactly one step marked with start=True."
        )
    return starts[0]


def _entity_type(event_name: str, wanted: Any) -> str:
    label = wanted if isinstance(wanted, str) else label_of(wanted)
    if label is None:
        raise DefinitionError(
            f"@event_workflow({event_name!r}, entity_type={wanted!r}) names no model. "
            "Write a model, 'model' or 'app_label.model', or leave it out."
        )
    return label


def _check_name(owner: str, what: str, value: str, length: int) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= length or not value.isprintable():
        raise DefinitionError(
            f"The {what} {value!r:.300} of workflow class {owner} must be text of 1 to {length} printable characters."
        )


def _check_retry(where: str, name: str, retry: Any) -> None:
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(f"{where}({name}={retry!r}) is not a policy. Write {name}=Retry(max_attempts=...).")


def _check_time(where: str, name: str, time: Any) -> None:
    if time is not None and not (is_duration(time) and time > timedelta(0)):
        raise DefinitionError(f"{where}({name}={time!r}) is not a duration. Write {name}=timedelta(seconds=...).")


def _check_upgrades(owner: str, upgrades: Any) -> None:
    """Text is a sequence too, of versions with one letter each."""
    if not isinstance(upgrades, tuple | list | set | frozenset) or not all(isinstance(each, str) for each in upgrades):
        raise DefinitionError(
            f"Workflow class {owner}: upgrades={upgrades!r} is not a tuple of versions. Write upgrades=('1',)."
        )


def _title(thing: Any) -> str:
    return getattr(thing, "__qualname__", repr(thing))
