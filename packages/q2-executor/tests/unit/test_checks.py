"""Settings of q2 under which work is doubled, lost, late or never given up are warned of, each with a remedy."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as project
from django.core import checks

from automation.q2_executor.checks import check_queue, warnings_about
from automation.workflows.ports import wiring

GOOD = dict(project.Q_CLUSTER)


def ids(**changes: Any) -> list[str]:
    """Warn about the good settings with changes; a change to None takes the key out."""
    cluster = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return [str(warning.id).rpartition(".")[2] for warning in warnings_about(cluster)]


def test_the_settings_we_advise_are_not_warned_of():
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"timeout": None}, ["W002"]),
        ({"retry": 50}, ["W003"]),
        ({"retry": None, "timeout": 59}, []),
        ({"retry": None, "timeout": 60}, ["W003"]),
        ({"catch_up": True}, ["W004"]),
        ({"catch_up": None}, ["W004"]),
        ({"max_attempts": None}, ["W005"]),
        ({"orm": "elsewhere"}, ["W006"]),
        ({"orm": None, "redis": {}}, []),
        ({"timeout": 69, "retry": 90}, []),
        ({"timeout": 70, "retry": 90}, ["W008"]),
        ({"bulk": 10}, ["W009"]),
        ({"bulk": 10, "save_limit": -1}, []),
    ],
    ids=str,
)
def test_each_setting_that_hurts_is_warned_of(changes: dict[str, Any], warned: list[str]):
    assert ids(**changes) == warned


@pytest.mark.parametrize(
    ("engine", "age", "options", "warned"),
    [
        ("postgresql", 0, {}, ["W010"]),
        ("mysql", 0, {}, ["W010"]),
        ("postgresql", 600, {}, []),
        ("postgresql", None, {}, []),
        ("postgresql", 0, {"pool": True}, []),
        ("sqlite3", 0, {}, []),
    ],
)
def test_a_connection_for_each_look_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, engine: str, age: int | None, options: dict[str, Any], warned: list[str]
):
    database = {"ENGINE": f"django.db.backends.{engine}", "CONN_MAX_AGE": age, "OPTIONS": options}
    monkeypatch.setitem(project.DATABASES, "default", database)

    assert ids() == warned


def test_sync_is_warned_of_outside_tests_only(monkeypatch: pytest.MonkeyPatch):
    from django.core import mail

    assert ids(sync=True) == []
    monkeypatch.delattr(mail, "outbox")
    assert ids(sync=True) == ["W007"]


def test_no_settings_at_all_are_warned_of(settings):
    del settings.Q_CLUSTER

    assert [warning.id for warning in check_queue()] == ["automation_q2_executor.W001"]


def test_every_warning_says_what_to_do():
    bad = {"timeout": 90, "retry": 60, "orm": "elsewhere", "bulk": 10}

    warnings = list(warnings_about(bad)) + list(warnings_about(None)) + list(warnings_about({"orm": "default"}))

    assert all(warning.hint for warning in warnings)


def test_the_database_of_the_runs_is_the_one_that_counts(settings):
    settings.AUTOMATION_WORKFLOWS = {"DATABASE": "elsewhere"}

    assert ids() == ["W006"]
    assert ids(orm="elsewhere") == []


def test_checks_are_run_by_manage_py_check(settings):
    settings.AUTOMATION_Q2 = {"QUEU": "runs"}
    settings.Q_CLUSTER = {**GOOD, "catch_up": True}

    found = {str(message.id) for message in checks.run_checks(tags=["automation"])}

    assert {"automation_q2_executor.E001", "automation_q2_executor.W004"} <= found


@pytest.mark.parametrize("retry", [None, "60"])
def test_a_retry_that_is_no_number_is_warned_of(retry: Any):
    """`manage.py check` broke on it."""
    warned = [str(warning.id) for warning in warnings_about({**GOOD, "retry": retry, "timeout": 50})]

    assert warned == ["automation_q2_executor.W003"]


@pytest.mark.parametrize(
    ("timeout", "warned"), [(timedelta(minutes=10), ["W011"]), (timedelta(seconds=49), []), (None, [])]
)
def test_a_step_that_may_take_longer_than_q2_lets_it_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, timeout: timedelta | None, warned: list[str]
):
    monkeypatch.setattr(wiring, "step_timeouts", lambda: {} if timeout is None else {"reindex.run": timeout})

    assert ids() == warned
    assert all("'reindex.run' may take 600 s" in warning.msg for warning in warnings_about(GOOD))


@pytest.mark.parametrize(("name", "warned"), [("sweeps", ["W003"]), ("automation", []), ("reports", [])], ids=str)
def test_another_cluster_of_ours_is_looked_at_too(settings, name: str, warned: list[str]):
    """What `Q_CLUSTER_NAME=sweeps` overrides; q2 does not read it for its main one."""
    settings.AUTOMATION_Q2 = {"SWEEP_QUEUE": "sweeps"}

    assert ids(ALT_CLUSTERS={name: {"retry": 5}}) == warned
