"""Each mistake has its check, and a project without mistakes hears nothing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings
from pydantic import BaseModel

from automation.workflows.checks import check_database
from automation.workflows.conf import policy, setting
from automation.workflows.core import complete, registry, step, workflow
from automation.workflows.ports import Policy


class Nothing(BaseModel):
    """A Context without fields."""


def ids(**kwargs: Any) -> list[str]:
    """Run all checks and return the ids of ours."""
    return [found.id or "" for found in run_checks(**kwargs) if (found.id or "").startswith("automation_workflows")]


def messages(**kwargs: Any) -> str:
    """Run all checks and give their texts."""
    return "\n".join(f"{found.msg} {found.hint}" for found in run_checks(**kwargs))


@pytest.mark.django_db
def test_a_project_without_mistakes_hears_nothing() -> None:
    assert ids(databases=["default"]) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(["DATABASE"], "E001", id="not_a_dict"),
        pytest.param({"RUN_RETENTON": timedelta(days=1)}, "E001", id="unknown_key"),
        pytest.param({"RUN_RETENTION": 30}, "E001", id="a_number_for_a_duration"),
        pytest.param({"STEPS_PER_CLAIM": True}, "E001", id="a_truth_for_a_number"),
        pytest.param({"REDACT": 7}, "E001", id="a_number_for_a_function"),
        pytest.param({"STEPS_PER_CLAIM": 0}, "E001", id="nought"),
        pytest.param({"RUN_RETENTION": -timedelta(days=1)}, "E001", id="a_negative_duration"),
        pytest.param({"KEY_RETENTION": timedelta(days=1)}, "W006", id="keys_before_runs"),
        pytest.param({"CLAIM_MARGIN": timedelta(hours=1)}, "W007", id="a_margin_longer_than_the_step"),
        pytest.param({"REDACT": "nowhere.to.be_found"}, "E008", id="a_function_that_is_not_there"),
        pytest.param({"DATABASE": "other"}, "E010", id="an_alias_that_is_not_there"),
    ],
)
def test_a_mistake_in_the_settings_is_told(given: Any, expected: str) -> None:
    with override_settings(AUTOMATION_WORKFLOWS=given):
        assert ids() == [f"automation_workflows.{expected}"]


def test_an_unknown_key_is_told_with_the_one_that_was_meant() -> None:
    with override_settings(AUTOMATION_WORKFLOWS={"RUN_RETENTON": timedelta(days=1)}):
        assert "Did you mean 'RUN_RETENTION'?" in messages()


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(["DATABASE"], id="not_a_dict"),
        pytest.param({"LOST_LIMIT": "5"}, id="a_text_for_a_number"),
        pytest.param({"CONTEXT_BYTES": 0}, id="nought"),
        pytest.param({"STEP_TIMEOUT": 60}, id="a_number_for_a_duration"),
    ],
)
def test_what_is_wrong_in_the_settings_does_not_count(given: Any) -> None:
    with override_settings(AUTOMATION_WORKFLOWS=given):
        assert policy() == Policy()


@pytest.mark.parametrize("given", [7, None, ""])
def test_a_redaction_that_is_no_function_is_not_passed_over(given: Any) -> None:
    """With the default in its place, what it was to hide would be stored."""
    with override_settings(AUTOMATION_WORKFLOWS={"REDACT": given}), pytest.raises(ImproperlyConfigured, match="REDACT"):
        policy()


def test_several_versions_without_a_current_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_versions", {})
    for number in ("1", "2"):
        cls = type(f"V{number}", (), {"Context": Nothing, "run": step(start=True)(lambda self: complete())})
        workflow("parcel", version=number)(cls)

    assert ids() == ["automation_workflows.E013"]
    assert "has the versions 1, 2, and none is current" in messages()


def test_naive_times_are_refused() -> None:
    with override_settings(USE_TZ=False):
        assert ids() == ["automation_workflows.E005"]


@pytest.mark.parametrize(
    ("vendor", "options", "expected"),
    [
        ("sqlite", {}, ["W011"]),
        ("sqlite", {"transaction_mode": "DEFERRED"}, ["W011"]),
        ("sqlite", {"transaction_mode": "IMMEDIATE"}, []),
        ("postgresql", {}, []),
        ("postgresql", {"isolation_level": 2}, []),
        ("postgresql", {"isolation_level": 4}, ["W012"]),
        ("mysql", {}, []),
        ("mysql", {"isolation_level": "read committed"}, []),
        ("mysql", {"isolation_level": "repeatable read"}, ["W012"]),
        ("mysql", {"isolation_level": None}, ["W012"]),
    ],
)
def test_a_database_that_loses_wake_ups_or_writers_is_told(
    monkeypatch: pytest.MonkeyPatch, vendor: str, options: dict[str, Any], expected: list[str]
) -> None:
    monkeypatch.setattr(type(connection._connections["default"]), "vendor", vendor)
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)

    found = check_database(None, databases=["default"])

    assert [each.id for each in found] == [f"automation_workflows.{each}" for each in expected]


def test_a_package_that_shadows_the_namespace_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import automation

    monkeypatch.setattr(automation, "__file__", "/project/automation/__init__.py", raising=False)

    assert ids() == ["automation_workflows.E009"]
    assert "/project/automation/__init__.py" in messages()


def test_settings_are_read_when_needed_not_at_import() -> None:
    before = policy().steps_per_claim
    with override_settings(AUTOMATION_WORKFLOWS={"STEPS_PER_CLAIM": 7, "RUN_RETENTION": timedelta(days=2)}):
        assert policy().steps_per_claim == 7
        assert setting("RUN_RETENTION") == timedelta(days=2)
    assert policy().steps_per_claim == before == 100


def test_the_defaults_are_those_of_the_engine() -> None:
    with override_settings(AUTOMATION_WORKFLOWS={}):
        assert policy() == Policy()
    with override_settings(AUTOMATION_WORKFLOWS={"CONTEXT_BYTES": 7}):
        assert policy().context == replace(Policy().context, bytes=7)


def test_a_redacting_function_is_imported_by_its_path() -> None:
    with override_settings(AUTOMATION_WORKFLOWS={"REDACT": "tests.integration.test_checks.hide"}):
        assert policy().redact("secret") == "***"


def hide(text: str) -> str:
    return "***"
