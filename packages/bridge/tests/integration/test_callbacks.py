"""Callbacks that a workflow step sets off: what they ask of the engine is theirs, not the step's."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from automation.events.callbacks import callback_registry, on_event
from automation.testing import Harness
from automation.workflows.core import Retry, WorkflowStatus, complete, engine, registry, step, wait, workflow
from automation.workflows.models import WorkflowRun
from tests.hotel.models import Stay

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_versions", {})


@pytest.fixture
def told() -> Iterator[None]:
    """A callback that tells workflows of each stay, and starts one."""

    @on_event("stay_confirmed", name="tests.tell")
    def tell(event: Any) -> None:
        engine.signal("stay_made", {"name": event.entity.name})
        engine.start("greeter")

    yield
    callback_registry.unregister(tell)


def define() -> None:
    class Named(BaseModel):
        name: str = ""

    @workflow("listener")
    class Listener:
        Context = Named

        @step(start=True)
        def run(self) -> Any:
            return wait("stay_made", then=self.end)

        @step()
        def end(self) -> Any:
            return complete()

    @workflow("greeter")
    class Greeter:
        Context = Named

        @step(start=True)
        def run(self) -> Any:
            return complete()

    @workflow("maker", default_retry=Retry(max_attempts=1))
    class Maker:
        Context = Named

        @step(start=True, atomic=False)
        def run(self) -> Any:
            Stay.objects.create(name="Grace")
            raise RuntimeError("after the stay was stored")


@pytest.mark.usefixtures("told")
def test_what_a_callback_asks_for_is_done_although_the_step_that_set_it_off_raises(automation: Harness) -> None:
    define()
    listener = engine.start("listener")

    maker = engine.start("maker")
    automation.run_until_idle()

    assert WorkflowRun.objects.get(pk=maker.id).status == WorkflowStatus.FAILED
    assert Stay.objects.count() == 1
    assert WorkflowRun.objects.get(pk=listener.id).data == {"name": "Grace"}
    assert WorkflowRun.objects.filter(name="greeter", status=WorkflowStatus.COMPLETED).count() == 1
