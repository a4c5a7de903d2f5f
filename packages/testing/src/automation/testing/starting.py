"""Why a workflow has no run: what starts it, and how that stands."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from automation.testing.event_stories import event_story
from automation.testing.installed import events_aliases, events_models, registry

__all__ = ["what_starts"]

_SHOWN = 3
"""Of the events of one name, where no instance is asked about."""


def what_starts(workflow: str, about: Any) -> str:
    """Return lines on the event that starts a workflow, and how it stands; empty for one that is started by hand."""
    definition = registry().newest(workflow)
    if definition is None or definition.trigger is None or events_models() is None:
        return ""
    return "".join(f"\n{line}" for line in _lines(definition.trigger, about))


def _lines(trigger: Any, about: Any) -> Iterator[str]:
    offset = trigger.offset
    when = f", {abs(offset)} {'before' if offset.days < 0 else 'after'} it" if offset else ""
    yield f"It is started by the event {trigger.event_name!r} of {_declarers(trigger)}{when}."
    found = _events(trigger.event_name, about)
    for event in found[-_SHOWN:]:
        yield event_story(event)
    if not found:
        yield "No such event is stored."
    if about is not None:
        yield from _condition(trigger.event_name, about)


def _declarers(trigger: Any) -> str:
    declared = import_module("automation.events.registry").declarations()
    names = {one.entity_type for one in declared.values() if one.name == trigger.event_name}
    return " or ".join(sorted(names)) or "a model, but none declares it"


def _events(name: str, about: Any) -> list[Any]:
    events = import_module("automation.events.models").Event
    if about is not None:
        return [event for event in events.objects.for_entity(about) if event.event_name == name]
    return [event for alias in events_aliases() for event in events.objects.using(alias).filter(event_name=name)]


def _condition(name: str, about: Any) -> Iterator[str]:
    for one in import_module("automation.events.registry").declared(type(about)):
        if one.name == name and one.definition.condition is not None:
            yield f"Its condition {_holds(one.definition, about)} for {about!r} as it is given here."


def _holds(definition: Any, about: Any) -> str:
    try:
        return "holds" if definition.should_create(about) else "does not hold"
    except Exception as error:  # noqa: BLE001 (it is the user's code, and the failure at hand is another one)
        return f"raises {error!r}"
