"""Events that say nothing about what they are about are warned of; those on another database are named."""

from django.core import checks

from automation.bridge.checks import check_about, check_databases
from tests.hotel.models import Paper


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
