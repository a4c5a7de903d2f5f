"""EventDefinition: what a model declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, Q

from automation.events.conditions import ask_database, decide_in_python
from automation.events.errors import DefinitionError

__all__ = ["EventDefinition"]

NAME_LIMIT = 200


@dataclass(frozen=True, slots=True, eq=False)
class EventDefinition:
    """The declaration of one event in a model's `events` list.

    Without `date_field` the event is immediate: it occurs right after the commit that finds its condition true. With
    one it is scheduled: it occurs at that date, if its condition holds then.
    """

    name: str
    _: KW_ONLY
    date_field: str | None = None
    """The DateTimeField (or DateField, read as local midnight) whose value is the event's time."""
    condition: Callable[[Any], object] | Q | None = None
    """A callable on the instance, or a Q; None is always true."""
    repeat: bool = False
    """Let an immediate event occur again each time its condition turns from false to true."""
    payload: Callable[[Any], Mapping[str, Any]] | None = None
    """Gives the JSON values carried with the occurrence; called on a freshly read instance."""
    about: str | Callable[[Any], Any] | None = None
    """What the event is about besides its own entity: a path of fields, or a callable giving one object or several."""
    late: timedelta | None = None
    """How long after its date a later save may still make it occur; None: for ever."""

    def __post_init__(self) -> None:
        for mistake in self._mistakes():
            raise DefinitionError(mistake)

    def is_immediate(self) -> bool:
        """Return whether it occurs at a commit, not at a date."""
        return self.date_field is None

    def should_create(self, instance: Model) -> bool:
        """Return whether the condition holds for `instance`, saved or not. What the condition raises is passed on."""
        if self.condition is None:
            return True
        if isinstance(self.condition, Q):
            known = decide_in_python(self.condition, instance, using=instance._state.db or DEFAULT_DB_ALIAS)
            return ask_database(self.condition, instance) if known is None else known
        return bool(self.condition(instance))

    def get_date_value(self, instance: Model) -> Any:
        """Return the value of the date field; None for immediate events."""
        return None if self.date_field is None else getattr(instance, self.date_field)

    def _mistakes(self) -> Iterable[str]:
        if not isinstance(self.name, str) or not self.name.strip() or self.name == "*":
            yield f"EventDefinition(name={self.name!r}): the name must be a word of its own, such as 'checkin_due'."
        elif len(self.name) > NAME_LIMIT:
            yield f"EventDefinition(name={self.name!r}): a name has at most {NAME_LIMIT} characters."
        if self.condition is not None and not isinstance(self.condition, Q) and not callable(self.condition):
            yield f"EventDefinition({self.name!r}): condition={self.condition!r} is neither a callable nor a Q."
        if self.payload is not None and not callable(self.payload):
            yield f"EventDefinition({self.name!r}): payload={self.payload!r} must be a callable that gives a dict."
        for what, function in (("condition", self.condition), ("payload", self.payload), ("about", self.about)):
            if inspect.iscoroutinefunction(function):
                yield f"EventDefinition({self.name!r}): {what} is an async function, and is not awaited. Use def."
            if inspect.isgeneratorfunction(function) and what != "about":
                yield f"EventDefinition({self.name!r}): {what} is a generator function. Return a value instead."
        if self.late is not None and not (isinstance(self.late, timedelta) and self.late >= timedelta(0)):
            yield f"EventDefinition({self.name!r}): late={self.late!r} must be a timedelta of no less than nothing."
        if self.about is not None and not isinstance(self.about, str) and not callable(self.about):
            yield f"EventDefinition({self.name!r}): about={self.about!r} must be a path of fields or a callable."
