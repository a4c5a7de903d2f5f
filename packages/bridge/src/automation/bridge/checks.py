"""System checks: events that would wake every waiting run, that nobody declares, or whose runs are elsewhere."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from django.core.checks import CheckMessage, Info, Warning, register  # noqa: A004 (Django's own name)
from django.db import router

from automation.bridge.kinds import kinds_of
from automation.bridge.relay import Relay
from automation.events.registry import Declared, declarations
from automation.workflows.core import EntityRef, registry

__all__ = ["check_about", "check_databases", "check_names"]

WORDS = frozenset({"wait_for_event", "for_event"})


@register("automation")
def check_about(**_: Any) -> list[CheckMessage]:
    """Warn of each event that a workflow about one model waits for and that is declared on another without `about`."""
    return [
        _warning(workflow, step.name, event)
        for workflow in registry
        for own_types in [{kind for model in _models_of(workflow) for kind in kinds_of(model)}]
        if own_types
        for step in workflow.steps.values()
        for name in sorted({name for name, of_any in _awaited(step.function) if of_any})
        for event in _declared_as(name)
        if event.definition.about is None and event.entity_type not in own_types
    ]


@register("automation")
def check_names(**_: Any) -> list[CheckMessage]:
    """Warn of each workflow that no event can start, and of each wait that none can end: a slip of the pen."""
    unstarted = [_unstarted(workflow) for workflow in registry if workflow.trigger is not None]
    unended = [
        _unended(workflow, step.name, name)
        for workflow in registry
        for step in workflow.steps.values()
        for name in sorted({name for name, _ in _awaited(step.function)})
        if not _declared_as(name)
    ]
    return [warning for warning in [*unstarted, *unended] if warning is not None]


@register("automation")
def check_databases(**_: Any) -> list[CheckMessage]:
    """Name the models whose events are saved on another database than runs: runs follow those a little later."""
    home = Relay().alias
    models = {each.model for each in declarations().values()}
    elsewhere = {model: router.db_for_write(model) for model in models}
    return [
        Info(
            f"{model._meta.label} is saved on database {alias!r}, runs are on {home!r}: they are not one transaction. "
            "Runs follow its events after the commit, at least once each, and never lose one.",
            hint=f"Nothing is wrong. For one transaction, set AUTOMATION_WORKFLOWS['DATABASE'] = {alias!r}.",
            obj=model,
            id="automation_bridge.I001",
        )
        for model, alias in sorted(elsewhere.items(), key=lambda each: each[0]._meta.label)
        if home is not None and alias != home
    ]


def _models_of(workflow: Any) -> set[str]:
    """Return the models that runs of a workflow are about: those that declare its event. Manual runs are about none."""
    if workflow.trigger is None:
        return set()
    candidates = _declared_as(workflow.trigger.event_name)
    return {
        each.entity_type
        for each in candidates
        if workflow.trigger.concerns(each.name, EntityRef(type=each.entity_type, id=""))
    }


def _declared_as(event_name: str) -> list[Declared]:
    return [declared for (_, name), declared in sorted(declarations().items()) if name == event_name]


def _unstarted(workflow: Any) -> CheckMessage | None:
    if _models_of(workflow):
        return None
    trigger = workflow.trigger
    of = "" if trigger.entity_type == "*" else f" of {trigger.entity_type!r}"
    return Warning(
        f"Workflow {workflow.name!r} starts on event {trigger.event_name!r}{of}, which no installed model declares.",
        hint=_hint(trigger.event_name),
        obj=workflow.cls,
        id="automation_bridge.W002",
    )


def _unended(workflow: Any, step: str, event_name: str) -> CheckMessage:
    return Warning(
        f"Step {step!r} of workflow {workflow.name!r} waits for event {event_name!r}, which no installed model "
        "declares: only a timeout can end the wait.",
        hint=f"{_hint(event_name)} For a signal of your own, write wait({event_name!r}).",
        obj=workflow.cls,
        id="automation_bridge.W003",
    )


def _hint(event_name: str) -> str:
    names = sorted({name for _, name in declarations()})
    close = get_close_matches(event_name, names, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    return f"{meant}Declared events: {', '.join(names) or 'none'}."


def _awaited(function: Callable[..., Any]) -> Iterator[tuple[str, bool]]:
    """Yield the events that a step waits for, as far as its source tells; True where it names no entity."""
    for node in ast.walk(_parsed(inspect.unwrap(function))):
        if isinstance(node, ast.Call):
            match node.func, node.args:
                case ((ast.Name(id=word) | ast.Attribute(attr=word)), [ast.Constant(value=str() as name), *_]):
                    if word in WORDS:
                        yield name, not any(keyword.arg == "entity" for keyword in node.keywords)


def _parsed(function: Callable[..., Any]) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # Written at a prompt or by a generator: there is no source to be read.
        return ast.Module(body=[], type_ignores=[])


def _warning(workflow: Any, step: str, event: Declared) -> CheckMessage:
    return Warning(
        f"Step {step!r} of workflow {workflow.name!r} waits for {event.name!r}, an event of {event.entity_type} that "
        "does not say what it is about: each one wakes every waiting run, whatever that run is about.",
        hint=f"Write EventDefinition({event.name!r}, ..., about='the_field_that_leads_there'), "
        f"or wait_for_event({event.name!r}, entity=ANY) if every one is meant.",
        obj=event.model,
        id="automation_bridge.W001",
    )
