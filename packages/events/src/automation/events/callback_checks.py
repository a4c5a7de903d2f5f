"""System checks of callbacks: a name that no model declares is most often a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django.core import checks

from automation.events.callbacks import ANY, Callback, callback_registry
from automation.events.registry import Declared, declarations

__all__ = ["check_callbacks"]

APP = "automation_events"


def check_callbacks(**_: Any) -> list[checks.CheckMessage]:
    """Check that each callback can ever be called."""
    return [message for callback in callback_registry.all() for message in _check(callback)]


def _check(callback: Callback) -> Iterator[checks.CheckMessage]:
    wanted = [one for one in declarations().values() if callback.wants(callback.phase, one.name, one.entity_type)]
    if not wanted and (callback.event_name, callback.entity_type) != (ANY, ANY):
        yield checks.Warning(
            f"Callback {callback.name!r} is for event {callback.event_name!r} of {callback.entity_type!r}, which no "
            f"installed model declares.",
            hint=_hint(callback),
            id=f"{APP}.W005",
        )
    if wanted and callback.offset < timedelta(0) and all(_is_immediate(one) for one in wanted):
        yield checks.Warning(
            f"Callback {callback.name!r} has the offset {callback.offset}, but {callback.event_name!r} is immediate: "
            f"nobody knows beforehand when it will occur, so the callback is never called.",
            hint="Use an offset of zero or more, or an event with a date_field.",
            id=f"{APP}.W007",
        )


def _hint(callback: Callback) -> str:
    names = sorted({one.name for one in declarations().values()})
    close = get_close_matches(callback.event_name, names, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"{meant}Declared events: {', '.join(names) or 'none'}."


def _is_immediate(one: Declared) -> bool:
    return one.definition.is_immediate()
