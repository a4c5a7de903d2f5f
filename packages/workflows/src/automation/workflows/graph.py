"""A workflow's steps as a Mermaid state diagram, read from the source of the steps.

What a step decides at run time (a target in a variable) cannot be read; such a step has fewer arrows than ways out.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from automation.workflows.authoring import results
from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.authoring.source import calls, step_named

__all__ = ["Arrow", "arrows", "mermaid"]

_END = "[*]"
_WORDS: dict[Any, str] = {
    results.goto: "goto",
    results.sleep: "sleep",
    results.wait: "signal",
    results.wait_for_event: "event",
    results.run_child: "child",
    results.run_children: "children",
    results.complete: "complete",
    results.fail: "fail",
}


@dataclass(frozen=True, slots=True, order=True)
class Arrow:
    """One way out of a step."""

    source: str
    target: str
    label: str


def mermaid(definition: WorkflowDefinition) -> str:
    """Return the diagram of a workflow."""
    title = json.dumps(f"{definition.name} (version {definition.version})")
    lines = [f"{arrow.source} --> {arrow.target}: {_plain(arrow.label)}" for arrow in arrows(definition)]
    return "\n".join(["---", f"title: {title}", "---", "stateDiagram-v2", *(f"    {line}" for line in lines)])


def arrows(definition: WorkflowDefinition) -> list[Arrow]:
    """Return the ways between the steps, as far as the source tells, in the order in which they are written."""
    found = [Arrow(_END, definition.start_step, _beginning(definition))]
    for step in definition.steps.values():
        found += _ways_out(step)
    if definition.on_fail is not None:
        found.append(Arrow(_END, definition.on_fail, "failure of any step"))
    return list(dict.fromkeys(found))


def _beginning(definition: WorkflowDefinition) -> str:
    trigger = definition.trigger
    if trigger is None:
        return "start"
    return f"event {trigger.event_name}" + (f" {trigger.offset.total_seconds():+.0f} s" if trigger.offset else "")


def _ways_out(step: StepDefinition) -> Iterator[Arrow]:
    for call in calls(step.function):
        yield from _ways(step.name, _WORDS[call.word], call.node)


def _ways(source: str, word: str, call: ast.Call) -> Iterator[Arrow]:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    match word:
        case "goto":
            target = step_named(call.args[0] if call.args else given.get("step"))
            if target is not None:
                yield Arrow(source, target, word)
        case "complete" | "fail":
            yield Arrow(source, _END, word)
        case _:
            yield Arrow(source, step_named(given.get("then")) or source, f"{word}{_about(call)}")
            late = step_named(given.get("on_timeout"))
            if late is not None or "timeout" in given:
                yield Arrow(source, late or source, "timeout")


def _about(call: ast.Call) -> str:
    """Return the name of the signal, event or child, where it is written out."""
    first = call.args[0] if call.args else None
    match first:
        case ast.Constant(value=str() as text):
            return f" {text}"
        case ast.Name(id=name):
            return f" {name}"
    return ""


def _plain(label: str) -> str:
    """Leave nothing in a label that Mermaid, or a page that shows it, would take for markup."""
    return "".join(character if character.isalnum() or character in " +-_." else " " for character in label)
