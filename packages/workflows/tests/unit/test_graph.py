"""The ways out of a step, as its source tells them."""

from typing import Any

import pytest
from pydantic import BaseModel

from automation.workflows import core as words
from automation.workflows.authoring.registry import registry
from automation.workflows.core import complete, goto, step, workflow
from automation.workflows.graph import arrows


def by_name(self: Any) -> Any:
    return goto("end")


def by_module(self: Any) -> Any:
    return words.goto(self.end)


def by_a_local_name(self: Any) -> Any:
    def goto(name: str) -> Any:
        return complete()

    return goto("end")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (by_name, [("run", "end", "goto")]),
        (by_module, [("run", "end", "goto")]),
        (by_a_local_name, [("run", "[*]", "complete")]),
    ],
)
def test_an_arrow_is_drawn_for_what_the_name_means(body: Any, expected: list[tuple[str, str, str]]) -> None:
    members = {
        "Context": type("Context", (BaseModel,), {}),
        "run": step(start=True)(body),
        "end": step()(lambda self: None),
    }
    workflow("drawn")(type("Drawn", (), members))
    (definition,) = registry

    found = [(arrow.source, arrow.target, arrow.label) for arrow in arrows(definition)]

    assert found == [("[*]", "run", "start"), *expected]
