"""Targets of goto, then= and on_timeout= that can be read in the source are checked at import."""

from collections.abc import Iterator
from difflib import get_close_matches

from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.authoring.results import goto
from automation.workflows.authoring.source import calls, step_named
from automation.workflows.errors import DefinitionError

__all__ = ["check_targets", "unknown_step"]

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
    for call in calls(step.function):
        given = [keyword.value for keyword in call.node.keywords if keyword.arg in _KEYWORDS]
        for node in [*call.node.args[:1], *given] if call.word is goto else given:
            if (target := step_named(node)) is not None:
                yield call.written, target
