"""What the source of a step says: which of our words it calls, and which steps it names.

Only what is written out can be read. What a step decides at run time is left to the check of its result.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from automation.workflows.authoring import results

__all__ = ["Call", "calls", "step_named"]

_WORDS = (
    results.goto,
    results.sleep,
    results.wait,
    results.wait_for_event,
    results.run_child,
    results.run_children,
    results.complete,
    results.fail,
)
_WAITS = {"for_signal": results.wait, "for_event": results.wait_for_event}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one of our words."""

    word: Any
    """The word that is meant, whatever name it was imported under; `wait.for_event` is `wait_for_event`."""
    written: str
    """As the step calls it."""
    node: ast.Call


def calls(function: Callable[..., Any]) -> Iterator[Call]:
    """Yield the calls of our words in a step, in the order in which they are written."""
    plain = inspect.unwrap(function)
    found = [node for node in ast.walk(_parsed(plain)) if isinstance(node, ast.Call)]
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
        meant = _meant(node.func, plain)
        if any(meant is word for word in _WORDS):
            yield Call(word=meant, written=ast.unparse(node.func), node=node)


def step_named(node: ast.expr | None) -> str | None:
    """Return the step that an argument names, as text or as `self.name`."""
    match node:
        case ast.Constant(value=str() as name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None


def _meant(called: ast.expr, function: Callable[..., Any]) -> Any:
    """Return what a name, or an attribute of a module, stands for; None for what only a run can tell."""
    match called:
        case ast.Name(id=name):
            code = function.__code__
            # A local name, or one of the enclosing function, may mean anything.
            is_local = name in {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
            return None if is_local else function.__globals__.get(name)
        case ast.Attribute(value=value, attr=name):
            owner = _meant(value, function)
            if owner is results.wait:
                return _WAITS.get(name)
            return vars(owner).get(name) if isinstance(owner, ModuleType) else None
    return None


def _parsed(function: Callable[..., Any]) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # Written at a prompt or by a generator: there is nothing to read.
        return ast.Module(body=[], type_ignores=[])
