"""Names that a test gives: a name that nothing has would make a claim hold for no reason, so it is refused."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from automation.testing.installed import registry

__all__ = [
    "refuse_no_instance",
    "refuse_unknown_attribute",
    "refuse_unknown_callback",
    "refuse_unknown_event",
    "refuse_unknown_fields",
    "refuse_unknown_workflow",
]


def refuse_unknown_workflow(name: str) -> None:
    """Raise UnknownWorkflow, with those there are, unless some version of a workflow has this name."""
    if not any(definition.name == name for definition in registry()):
        registry().to_start(name)


def refuse_no_instance(given: Any) -> None:
    """Raise TypeError for what no event, run or call can be about."""
    if isinstance(given, type) or not hasattr(given, "_meta"):
        raise TypeError(
            f"{given!r} is no model instance. Say which object it is about: assert_occurred(order, 'order_paid'), "
            "about=order."
        )


def refuse_unknown_attribute(instance: Any, name: str) -> None:
    """Raise ValueError, with its fields, for an attribute that a model instance does not have and nobody would read.

    Names with an underscore in front are let through: receivers take such hints (`_history_user`).
    """
    if hasattr(instance, "_meta") and not name.startswith("_") and not hasattr(instance, name):
        fields = {field.name for field in instance._meta.get_fields()}
        raise ValueError(f"{instance._meta.label} has no attribute {name!r} to save.{_instead(name, fields)}")


def refuse_unknown_callback(name: str) -> None:
    """Raise ValueError, with those there are, unless a callback is registered by this name."""
    known = {callback.name for callback in import_module("automation.events.callbacks").callback_registry.all()}
    if name not in known:
        raise ValueError(f"No callback is registered as {name!r}.{_instead(name, known)}")


def refuse_unknown_event(instance: Any, name: str) -> None:
    """Raise ValueError, with those there are, unless the instance's model declares an event of this name."""
    registry_of_events = import_module("automation.events.registry")
    model = type(instance)
    known = {one.name for one in (*registry_of_events.declared(model), *registry_of_events.declared_by_proxies(model))}
    if name not in known:
        raise ValueError(f"{model._meta.label} declares no event {name!r}.{_instead(name, known)}")


def refuse_unknown_fields(run: Any, names: Iterable[str]) -> None:
    """Raise ValueError, with those there are, for a field that the run's Context does not have."""
    definition = registry().exact(run.name, run.version)
    known = {*(run.data or {}), *(definition.context.model_fields if definition is not None else ())}
    for name in names:
        if name not in known:
            raise ValueError(f"The Context of {run.name!r} has no field {name!r}.{_instead(name, known)}")


def _instead(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"{guess} There is: {', '.join(names) or 'none'}."
