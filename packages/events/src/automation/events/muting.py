"""Hush: saves and deletes that leave no trace in the events, for imports and factories."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from django.db.models import Model

__all__ = ["is_muted", "muted"]

F = TypeVar("F", bound=Callable[..., Any])

_everything: frozenset[str] = frozenset({"*"})
_hushed: ContextVar[frozenset[str]] = ContextVar("automation_events_muted", default=frozenset())


def is_muted(entity_type: str) -> bool:
    """Return whether saves of `app_label.model` are hushed in this thread or task."""
    hushed = _hushed.get()
    return bool(hushed) and ("*" in hushed or entity_type in hushed)


class muted:  # noqa: N801 - used as `with muted():` and `@muted()`
    """Leave events alone inside the block, in this thread or task only.

    `models` is a model, a label such as `"bookings.Reservation"`, or several of them; None hushes all. Afterwards
    `Event.objects.sync(queryset)` or `manage.py sync_events` brings the rows up to date.
    """

    def __init__(self, models: type[Model] | str | Iterable[type[Model] | str] | None = None) -> None:
        self._labels = _everything if models is None else frozenset(_labels(models))
        self._tokens: list[Token[frozenset[str]]] = []

    def __enter__(self) -> None:
        self._tokens.append(_hushed.set(_hushed.get() | self._labels))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _hushed.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        """Hush every call of `function`; calls in different threads or tasks do not disturb each other."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def hushed_async(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return hushed_async  # type: ignore[return-value]

        @functools.wraps(function)
        def hushed(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return hushed  # type: ignore[return-value]

    def _again(self) -> muted:
        fresh = muted()
        fresh._labels = self._labels
        return fresh


def _labels(models: type[Model] | str | Iterable[type[Model] | str]) -> Iterable[str]:
    several = [models] if isinstance(models, str | type) else models
    for model in several:
        yield model.lower() if isinstance(model, str) else _label_of(model)


def _label_of(model: type[Model]) -> str:
    concrete = model._meta.concrete_model or model
    return concrete._meta.label_lower
