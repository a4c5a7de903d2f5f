"""A run's Context as its class has it: dates as dates, amounts as amounts."""

from importlib import import_module
from typing import Any

from automation.testing.installed import registry

__all__ = ["is_on_context", "left_out"]

_NOT_THERE = object()


def is_on_context(run: Any, name: str, value: Any) -> bool:
    """Return whether the field has this value, given as the Context has it or as it is stored."""
    stored = (run.data or {}).get(name, _NOT_THERE)
    return stored == value or (stored is not _NOT_THERE and getattr(_context_of(run), name, _NOT_THERE) == value)


def left_out(run: Any, signal: Any) -> dict[str, str]:
    """Return the keys of a signal's payload that do not get onto the run's Context, each with the reason.

    What an event's payload always has (`event_id` and such) is passed over where the Context does not ask for it.
    """
    definition = registry().exact(run.name, run.version)
    payload = signal.payload or {}
    if definition is None or run.data is None:
        return {}
    is_of_event = signal.name.startswith("event:")
    undeclared = [] if is_of_event else sorted(payload.keys() - definition.context.model_fields.keys())
    refused = import_module(_CONTEXTS).merge(definition.context, run.data, payload).rejected
    return {**dict.fromkeys(undeclared, "the Context has no such field"), **refused}


def _context_of(run: Any) -> Any:
    definition = registry().exact(run.name, run.version)
    try:
        return None if definition is None else import_module(_CONTEXTS).load(definition.context, run.data)
    except ValueError:
        # It was stored by other code than today's. What is stored can be asked for all the same.
        return None


_CONTEXTS = "automation.workflows.authoring.contexts"
