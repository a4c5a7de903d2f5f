"""The callbacks of a project: registered by decorators, known by a stable name, matched by event and entity type."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from automation.events.errors import CallbackError

__all__ = [
    "ANY",
    "Callback",
    "CallbackRegistry",
    "EventPhase",
    "callback_registry",
    "on_event",
    "on_event_cancelled",
    "on_event_created",
    "on_event_rescheduled",
]

F = TypeVar("F", bound=Callable[..., Any])
ANY = "*"
NAME_LIMIT = 255
_FARTHEST = timedelta(days=36_525)
"""A hundred years, before or after: databases keep a length of time in 64 bits, and end with the year 9999."""
_A_MINUTE = timedelta(minutes=1)


class EventPhase(StrEnum):
    """The moment in an event's life that a callback is for."""

    CREATED = "created"
    """Its row was made: the event is expected, or waits for its condition."""
    OCCURRED = "occurred"
    """It occurred; with a negative offset, before that."""
    CANCELLED = "cancelled"
    """It will not occur: the entity was deleted, or `cancel()` was called."""
    RESCHEDULED = "rescheduled"
    """Its date changed while it was still ahead; `event.at` is the new one, None when it was cleared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One function and what it wants to be called for."""

    name: str
    """What deliveries are stored under: `module.qualname`, or the name given."""
    function: Callable[..., Any]
    phase: EventPhase = EventPhase.OCCURRED
    event_name: str = ANY
    entity_type: str = ANY
    """`model` or `app_label.model`, lower-case, or `*`."""
    offset: timedelta = timedelta(0)
    atomic: bool = True
    """Run in one transaction with the delivery's completion; False for calls to the outside world that take long."""
    background: bool = False
    """Hand over to the executor, if there is one."""

    def wants(self, phase: EventPhase, event_name: str, entity_type: str) -> bool:
        """Return whether it is for this event; `entity_type` is the full label."""
        return (
            self.phase is phase
            and self.event_name in (ANY, event_name)
            and self.entity_type in (ANY, entity_type, entity_type.rpartition(".")[2])
        )


class CallbackRegistry:
    """The callbacks of this process. What the framework itself hangs on events is elsewhere (`ports.wiring`)."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._subscriptions: dict[str, list[Callback]] = {}

    def register(
        self,
        function: F,
        event_name: str = ANY,
        entity_type: str = ANY,
        *,
        phase: EventPhase = EventPhase.OCCURRED,
        offset: timedelta = timedelta(0),
        name: str | None = None,
        atomic: bool = True,
        background: bool = False,
    ) -> F:
        """Add a callback and return the function.

        The same function may be registered for several events. Raises `CallbackError` when the name already stands
        for another function: stored deliveries could not tell them apart.
        """
        _refuse_generator(function)
        callback = Callback(
            name=_short(name or _name_of(function)),
            function=function,
            phase=EventPhase(phase),
            event_name=event_name,
            entity_type=entity_type.lower(),
            offset=offset,
            atomic=atomic,
            background=background,
        )
        self._add(callback, named=name is not None)
        return function

    def unregister(self, callback: Callable[..., Any] | str) -> None:
        """Take a callback away, by function or name. Its stored deliveries wait until it is back."""
        with self._lock:
            for name, subscriptions in list(self._subscriptions.items()):
                if name == callback or any(one.function is callback for one in subscriptions):
                    del self._subscriptions[name]

    def clear(self) -> None:
        """Take all callbacks of users away; subscribers such as the bridge are not among them."""
        with self._lock:
            self._subscriptions.clear()

    def matching(self, phase: EventPhase, event_name: str, entity_type: str) -> tuple[Callback, ...]:
        """Return the callbacks for this phase of this event; a function is listed once per offset."""
        found: dict[tuple[str, timedelta], Callback] = {}
        for callback in self.all():
            if callback.wants(phase, event_name, entity_type):
                found.setdefault((callback.name, callback.offset), callback)
        return tuple(found.values())

    def find(self, name: str, phase: EventPhase | str, offset: timedelta) -> Callback | None:
        """Return the callback that a stored delivery names, or None when this process does not have it."""
        subscriptions = self._subscriptions.get(name, [])
        of_phase = [one for one in subscriptions if one.phase == phase]
        exact = (one for one in of_phase if one.offset == offset)
        return next(exact, of_phase[0] if of_phase else None)

    def all(self) -> tuple[Callback, ...]:
        """Return every callback, in the order of registration."""
        with self._lock:
            return tuple(one for subscriptions in self._subscriptions.values() for one in subscriptions)

    def names(self) -> tuple[str, ...]:
        """Return every name that is known."""
        return tuple(self._subscriptions)

    def _add(self, callback: Callback, *, named: bool) -> None:
        with self._lock:
            known = self._subscriptions.get(callback.name, [])
            if known and known[0].function is not callback.function:
                if not _same_source(known[0].function, callback.function):
                    raise CallbackError(_collision(callback.name, known[0].function, callback.function))
                known = []  # the module was loaded again: the new function takes the place of the old one
            if not known and not named:
                self._refuse_twin(callback)
            if callback not in known:
                self._subscriptions[callback.name] = [*known, callback]

    def _refuse_twin(self, callback: Callback) -> None:
        """Refuse one source under two names: the module was imported twice, and all would be delivered twice."""
        for other in self.all():
            twin = other.name != callback.name and _same_source(other.function, callback.function)
            if twin and other.name == _default_name(other.function):
                raise CallbackError(
                    f"Callback {callback.name!r} is already registered as {other.name!r}: its module was imported "
                    f"under two names. Import it under one, or every event would be delivered twice."
                )


callback_registry = CallbackRegistry()


def on_event(
    event_name: str = ANY,
    entity_type: str | type[Any] = ANY,
    *,
    offset: timedelta | None = None,
    offset_minutes: float | None = None,
    name: str | None = None,
    atomic: bool = True,
    background: bool = False,
) -> Callable[[F], F]:
    """Call the function when the event occurs, or `offset` before or after that, exactly once per occurrence.

    `entity_type` is `"reservation"`, `"bookings.reservation"` or the model itself. The delivery moves with the event's
    date. `name` keeps stored deliveries findable when the function moves to another module.
    """
    return _decorator(
        event_name,
        entity_type,
        phase=EventPhase.OCCURRED,
        offset=_offset(offset, offset_minutes),
        name=name,
        atomic=atomic,
        background=background,
    )


def on_event_created(
    event_name: str = ANY,
    entity_type: str | type[Any] = ANY,
    *,
    name: str | None = None,
    atomic: bool = True,
    background: bool = False,
) -> Callable[[F], F]:
    """Call the function after the commit that made the event's row."""
    return _decorator(
        event_name, entity_type, phase=EventPhase.CREATED, name=name, atomic=atomic, background=background
    )


def on_event_cancelled(
    event_name: str = ANY,
    entity_type: str | type[Any] = ANY,
    *,
    name: str | None = None,
    atomic: bool = True,
    background: bool = False,
) -> Callable[[F], F]:
    """Call the function after the commit that cancelled the event; `event.entity` still works for a deleted entity."""
    return _decorator(
        event_name, entity_type, phase=EventPhase.CANCELLED, name=name, atomic=atomic, background=background
    )


def on_event_rescheduled(
    event_name: str = ANY,
    entity_type: str | type[Any] = ANY,
    *,
    name: str | None = None,
    atomic: bool = True,
    background: bool = False,
) -> Callable[[F], F]:
    """Call the function after the commit that changed the date of an event still ahead."""
    return _decorator(
        event_name, entity_type, phase=EventPhase.RESCHEDULED, name=name, atomic=atomic, background=background
    )


def _decorator(event_name: str, entity_type: str | type[Any], **options: Any) -> Callable[[F], F]:
    if not isinstance(event_name, str):
        raise CallbackError(
            f"The decorator was given {event_name!r} where an event's name belongs. Write @on_event('name') or, for "
            f"every event, @on_event()."
        )

    label = entity_type if isinstance(entity_type, str) else _label_of(entity_type)

    def register(function: F) -> F:
        return callback_registry.register(function, event_name, label, **options)

    return register


def _label_of(model: type[Any]) -> str:
    """Return what the events of a model are stored under: its own label, or that of the table of a proxy."""
    meta = getattr(model, "_meta", None)
    if meta is None or meta.abstract:
        raise CallbackError(
            f"The decorator was given {model!r} where a model belongs. Write a model, 'model' or 'app_label.model'."
        )
    return str((meta.concrete_model or model)._meta.label_lower)


def _offset(offset: timedelta | None, minutes: float | None) -> timedelta:
    if offset is not None and minutes is not None:
        raise CallbackError("@on_event takes offset or offset_minutes, not both.")
    if minutes is not None and (not isinstance(minutes, int | float) or not abs(minutes) <= _FARTHEST / _A_MINUTE):
        raise CallbackError(
            f"@on_event(offset_minutes={minutes!r}): offset_minutes is a number of minutes, such as -60, of at most "
            f"{_FARTHEST.days} days."
        )
    if offset is not None and not isinstance(offset, timedelta):
        raise CallbackError(f"@on_event(offset={offset!r}): offset is a timedelta. For minutes, use offset_minutes.")
    if offset is not None and abs(offset) > _FARTHEST:
        raise CallbackError(f"@on_event(offset={offset!r}): an offset is at most {_FARTHEST.days} days.")
    return offset if offset is not None else (minutes or 0) * _A_MINUTE


def _name_of(function: Callable[..., Any]) -> str:
    name = _default_name(function)
    if "<lambda>" in name or not name:
        raise CallbackError(f"Callback {function!r} has no name of its own. Give it one: @on_event(..., name='...').")
    return name


def _short(name: str) -> str:
    if len(name) > NAME_LIMIT:
        raise CallbackError(f"Callback name {name!r} is longer than {NAME_LIMIT} characters. Give a shorter name=.")
    return name


def _refuse_generator(function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise CallbackError(f"Callback {function!r} is a generator: calling it runs nothing. Write it without yield.")


def _default_name(function: Callable[..., Any]) -> str:
    qualname = getattr(function, "__qualname__", "")
    return f"{function.__module__}.{qualname}" if qualname else ""


def _same_source(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Return whether two function objects come from the same lines of the same file."""
    return _source(one) is not None and _source(one) == _source(other)


def _source(function: Callable[..., Any]) -> tuple[str, int, str] | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else (code.co_filename, code.co_firstlineno, code.co_qualname)


def _collision(name: str, one: Callable[..., Any], other: Callable[..., Any]) -> str:
    places: Iterable[str] = ("{}:{}".format(*(_source(each) or (repr(each), "?"))[:2]) for each in (one, other))
    return (
        f"Two callbacks are called {name!r}: {', '.join(places)}. Deliveries are stored under that name; give one of "
        f"them another: @on_event(..., name='...')."
    )
