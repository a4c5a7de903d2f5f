"""A step's code replaced for a test: its neighbours stay as they are, and the engine notices no difference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from automation.testing.installed import registry

__all__ = ["StubbedStep", "stubbed_step"]


class StubbedStep:
    """What stands in for the step; tells how often it was entered, and with what."""

    def __init__(self, does: Callable[[Any], Any]) -> None:
        self._does = does
        self.entered: list[dict[str, Any]] = []
        """The Context at each entry, as a dict."""

    def __repr__(self) -> str:
        return f"StubbedStep(entered {len(self.entered)} times)"

    def enter(self, workflow: Any) -> Any:
        """Stand in for the step's method."""
        self.entered.append(workflow.context.model_dump())
        return self._does(workflow)


@contextmanager
def stubbed_step(workflow: Any, step: Any, does: Callable[[Any], Any]) -> Iterator[StubbedStep]:
    """Let `step` of `workflow` call `does` inside the block."""
    definition = registry().to_start(workflow)
    name = step if isinstance(step, str) else step.__name__
    known = definition.steps.get(name)
    if known is None:
        raise ValueError(f"{name!r} is not a step of {definition.name!r}. It has: {', '.join(definition.steps)}.")
    stub = StubbedStep(does)

    def stand_in(instance: Any) -> Any:
        return stub.enter(instance)

    steps = {**definition.steps, name: replace(known, function=stand_in, is_async=False)}
    registry().register(replace(definition, steps=steps))
    try:
        yield stub
    finally:
        registry().register(definition)
