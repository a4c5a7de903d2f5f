"""The three dicts of settings behave alike: a mistake is told in the same words, by one id, and does not count."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks

from automation.events import conf as events
from automation.q2_executor import conf as q2
from automation.workflows import conf as workflows


@dataclass(frozen=True)
class Dict:
    """One of them, with a key for each kind of mistake."""

    name: str
    id: str
    keys: frozenset[str]
    read: Callable[[], Any]
    time: str
    other: str
    wanted: str


ALL = [
    Dict(
        events.SETTING,
        "automation_events.E007",
        frozenset(events._KINDS),
        events.conf,
        "CLAIM",
        "BATCH",
        "a whole number from 1 to 500",
    ),
    Dict(
        workflows.SETTING,
        "automation_workflows.E001",
        frozenset(workflows._KINDS),
        workflows.policy,
        "STEP_TIMEOUT",
        "BATCH",
        "a whole number of 1 or more",
    ),
    Dict(
        q2.SETTING,
        "automation_q2_executor.E001",
        frozenset(q2._KINDS),
        q2.conf,
        "KEEP_FAILURES",
        "QUEUE",
        "None or the name of a q2 queue",
    ),
]

each_of_them = pytest.mark.parametrize("ours", ALL, ids=lambda each: each.name)


def told() -> list[tuple[str | None, str]]:
    return [(found.id, found.msg) for found in run_checks(tags=["automation"])]


@pytest.fixture
def default(ours: Dict) -> Any:
    return ours.read()


@each_of_them
def test_what_is_no_dict_is_told_and_does_not_count(ours: Dict, default: Any, settings: Any):
    setattr(settings, ours.name, ["CLAIM"])

    assert told() == [(ours.id, f"{ours.name} is ['CLAIM']. It must be a dict of settings.")]
    assert ours.read() == default


@each_of_them
@pytest.mark.parametrize("key", ["NOTHING_OF_OURS", 7])
def test_an_unknown_key_is_told_with_those_that_there_are(ours: Dict, default: Any, settings: Any, key: Any):
    setattr(settings, ours.name, {key: 1})

    known = ", ".join(sorted(ours.keys))
    assert told() == [(ours.id, f"{ours.name} has the unknown key {key!r}. Known keys: {known}.")]
    assert ours.read() == default


@each_of_them
def test_a_misspelt_key_is_told_with_the_one_that_was_meant(ours: Dict, default: Any, settings: Any):
    setattr(settings, ours.name, {f"{ours.time}S": timedelta(seconds=7)})

    [(identity, said)] = told()
    assert identity == ours.id
    assert said.startswith(f"{ours.name} has the unknown key '{ours.time}S'. Did you mean {ours.time!r}? Known keys: ")
    assert ours.read() == default


@each_of_them
@pytest.mark.parametrize("value", [60, "60", None, timedelta(0), timedelta(seconds=-1)], ids=repr)
def test_a_time_of_the_wrong_type_or_out_of_range_is_told(ours: Dict, default: Any, settings: Any, value: Any):
    setattr(settings, ours.name, {ours.time: value})

    sentence = f"{ours.name}[{ours.time!r}] is {value!r}. It must be a timedelta of more than nothing."
    assert told() == [(ours.id, sentence)]
    assert ours.read() == default


@each_of_them
@pytest.mark.parametrize("value", [0, True, 1.5])
def test_another_value_that_is_wrong_is_told_with_what_it_must_be(
    ours: Dict, default: Any, settings: Any, value: Any
):
    setattr(settings, ours.name, {ours.other: value})

    assert told() == [(ours.id, f"{ours.name}[{ours.other!r}] is {value!r}. It must be {ours.wanted}.")]
    assert ours.read() == default


@each_of_them
def test_every_mistake_is_told_and_what_is_right_beside_them_counts(ours: Dict, default: Any, settings: Any):
    setattr(settings, ours.name, {"NOTHING_OF_OURS": 1, ours.other: 0, ours.time: timedelta(seconds=71)})

    assert [identity for identity, _ in told()] == [ours.id, ours.id]
    assert ours.read() != default


def test_a_redaction_that_is_not_there_is_told_once_and_hides_no_other_check(settings: Any):
    settings.AUTOMATION_WORKFLOWS = {"REDACT": "nowhere.to.be_found"}
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "catch_up": True}

    assert sorted(str(identity) for identity, _ in told()) == [
        "automation_q2_executor.W004",
        "automation_workflows.E008",
    ]
