"""What the app plugs in for others to ask."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from automation.workflows.authoring.registry import registry
from automation.workflows.core import complete, goto, step, workflow
from automation.workflows.ports import wiring


@pytest.fixture
def _hasty():
    @workflow("hasty")
    class Hasty:
        class Context(BaseModel):
            pass

        @step(start=True, timeout=timedelta(seconds=5))
        def run(self):
            return goto(self.rest)

        @step()
        def rest(self):
            return complete()

    yield
    registry.unregister(registry.to_start("hasty"))


@pytest.mark.usefixtures("_hasty")
def test_the_timeouts_that_steps_name_can_be_asked_for():
    """A queue that ends tasks has to know how long steps allow themselves."""
    named = {step: limit for step, limit in wiring.step_timeouts().items() if step.startswith("hasty.")}

    assert named == {"hasty.run": timedelta(seconds=5)}
