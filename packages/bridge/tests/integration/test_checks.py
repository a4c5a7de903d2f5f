"""Events that are about nothing, or that nobody declares, are warned of; those on another database are named."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core import checks
from pydantic import BaseModel

from automation.bridge.checks import check_about, check_databases, check_names
from automation.workflows.core import complete, event_workflow, registry, step, wait, wait_for_event
from tests.hotel.models import Paper, Stay


def test_the_definition_and_the_workflow_are_named():
    warnings = check_about()

    assert [warning.id for warning in warnings] == ["automation_bridge.W001"]
    assert "Step 'listen' of workflow 'complaints' waits for 'complaint_made'" in warnings[0].msg
    assert "about=" in str(warnings[0].hint)


def test_waiting_for_any_on_purpose_is_not_warned_of():
    warned_of = [warning.msg for warning in check_about()]

    assert warned_of != []
    assert [text for text in warned_of if "listen_to_all" in text] == []


def test_it_is_run_by_manage_py_check():
    assert "automation_bridge.W001" in {message.id for message in checks.run_checks(tags=["automation"])}


@pytest.fixture
def _forgets_what_is_declared_here() -> Iterator[None]:
    before = {(each.name, each.version) for each in registry}
    yield
    for definition in [each for each in registry if (each.name, each.version) not in before]:
        registry.unregister(definition)


@pytest.mark.usefixtures("_forgets_what_is_declared_here")
@pytest.mark.parametrize(
    ("event_name", "entity_type", "says"),
    [
        ("arival_due", "*", "'misspelt' starts on event 'arival_due', which no installed model declares"),
        ("arrival_due", "hotel.stay", "event 'arrival_due' of 'hotel.stay', which no installed model declares"),
        ("arrival_due", Paper, "event 'arrival_due' of 'bridge_hotel.paper', which no"),
    ],
    ids=["event", "label", "model"],
)
def test_a_workflow_that_no_event_can_start_is_named(event_name: str, entity_type: Any, says: str) -> None:
    @event_workflow(event_name, entity_type, name="misspelt")
    class Misspelt:
        class Context(BaseModel):
            pass

        @step(start=True)
        def begin(self) -> Any:
            return complete()

    (warning,) = check_names()

    assert warning.id == "automation_bridge.W002"
    assert says in warning.msg
    assert "Did you mean 'arrival_due'?" in str(warning.hint)


@pytest.mark.usefixtures("_forgets_what_is_declared_here")
def test_a_wait_that_no_event_can_end_is_named() -> None:
    @event_workflow("arrival_due", Stay, name="deaf")
    class Deaf:
        class Context(BaseModel):
            pass

        @step(start=True)
        def begin(self) -> Any:
            return wait_for_event("paper_uplaoded")

        @step()
        def narrowed(self) -> Any:
            return wait.for_event("key:returned", entity=None)

        @step()
        def sound(self) -> Any:
            return wait("key:returned") if self else wait_for_event("paper_uploaded")

    uploaded, returned = check_names()

    assert uploaded.id == returned.id == "automation_bridge.W003"
    assert "Step 'begin' of workflow 'deaf' waits for event 'paper_uplaoded'" in uploaded.msg
    assert "Did you mean 'paper_uploaded'?" in str(uploaded.hint)
    assert "Step 'narrowed'" in returned.msg
    assert "For a signal of your own, write wait('key:returned')." in str(returned.hint)


def test_what_is_declared_is_not_warned_of() -> None:
    assert check_names() == []


class ToOther:
    """Papers are saved on the other database."""

    def db_for_write(self, model: type, **_: object) -> str | None:
        return "other" if model is Paper else None


def test_models_whose_runs_are_on_another_database_are_named(settings):
    settings.DATABASE_ROUTERS = [ToOther()]

    (told,) = check_databases()

    assert "bridge_hotel.Paper is saved on database 'other', runs are on 'default'" in told.msg


def test_models_on_the_database_of_the_runs_are_not():
    assert check_databases() == []
