"""Targets of goto, then= and on_timeout= that can be read in the source are checked at import."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from automation.workflows.authoring import results
from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.errors import DefinitionError

__all__ = ["check_targets", "unknown_step"]

_WORDS = (results.goto, results.sleep, results.wait, results.wait_for_event, results.run_child, results.run_children)
_KEYWORDS = frozenset({"then", "on_timeout", "step"})


def check_targets(definition: WorkflowDefinition) -> None:
    """Raise DefinitionError for a target, written as text or as `self.name`, that is not a step of the workflow."""
    for step in definition.steps.values():
        for word, target in _targets(step):
            if target not in definition.steps or target == definition.on_fail:
                raise DefinitionError(f"In step {step.name!r}, {word} leads to {unknown_step(definition, target)}")


def unknown_step(definition: WorkflowDefinition, target: str) -> str:
    """Say that there is no such step, which one was probably meant, and which there are."""
    if target == definition.on_fail:
        return f"{target!r}, the @on_fail handler of workflow {definition.name!r}, which only a failure enters."
    steps = sorted(set(definition.steps) - {definition.on_fail})
    near = get_close_matches(target, steps, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    exists = hasattr(definition.cls, target)
    remedy = " It is a method: write @step() over it." if exists and not near else ""
    return (
        f"{target!r}, which is not a @step of workflow {definition.name!r}.{guess}{remedy} Steps: {', '.join(steps)}."
    )


def _targets(step: StepDefinition) -> Iterator[tuple[str, str]]:
    function = inspect.unwrap(step.function)
    for node in ast.walk(_parsed(function)):
        if isinstance(node, ast.Call) and (word := _word(node.func, function)):
            for target in _named(node, first=word == "goto"):
                yield word, target


def _parsed(function: Any) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # Written at a prompt or by a generator: there is no source, and the run-time check remains.
        return ast.Module(body=[], type_ignores=[])


def _word(called: ast.expr, function: Any) -> str | None:
    """Return the name under which one of our words is called; None for anything else."""
    if isinstance(called, ast.Attribute) and called.attr in {"for_signal", "for_event"}:
        return _word(called.value, function)
    if not isinstance(called, ast.Name):
        return None
    code = function.__code__
    if called.id in {*code.co_varnames, *code.co_cellvars, *code.co_freevars}:
        # A local name, or one of the enclosing function: what it will mean is left to the run-time check.
        return None
    meant = function.__globals__.get(called.id)
    return called.id if any(meant is word for word in _WORDS) else None


def _named(call: ast.Call, *, first: bool) -> Iterator[str]:
    given = [keyword.value for keyword in call.keywords if keyword.arg in _KEYWORDS]
    for node in [*call.args[:1], *given] if first else given:
        match node:
            case ast.Constant(value=str() as name):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                yield name
