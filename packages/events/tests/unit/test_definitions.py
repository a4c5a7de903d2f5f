"""Writing definitions."""

from datetime import timedelta

import pytest

from automation.events.definitions import EventDefinition
from automation.events.errors import DefinitionError, PayloadError
from automation.events.keys import current_key, uuid7
from automation.events.payloads import json_object
from tests.hotel.models import Reservation


async def later(instance):
    return False


def one_by_one(instance):
    yield False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "name must be"),
        ({"name": "*"}, "name must be"),
        ({"name": "x" * 201}, "at most 200"),
        ({"name": "x", "condition": "status"}, "neither a callable nor a Q"),
        ({"name": "x", "payload": {}}, "callable"),
        ({"name": "x", "late": 5}, "timedelta"),
        ({"name": "x", "late": timedelta(-1)}, r"late=.* must be a timedelta of no less than nothing"),
        ({"name": "x", "about": 5}, "path of fields"),
        ({"name": "x", "condition": later}, "condition is an async function"),
        ({"name": "x", "payload": later}, "payload is an async function"),
        ({"name": "x", "condition": one_by_one}, "condition is a generator function"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(DefinitionError, match=message):
        EventDefinition(**options)


def test_definition_answers_for_unsaved_instances():
    definition = EventDefinition("confirmed", condition=lambda r: r.status == "confirmed")
    assert definition.is_immediate()
    assert not definition.should_create(Reservation())
    assert definition.should_create(Reservation(status="confirmed"))
    assert definition.get_date_value(Reservation()) is None
    assert EventDefinition("late", date_field="checkin_at", late=timedelta(1)).get_date_value(Reservation()) is None


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], "not a dict"),
        ({"a": {"b": [1, "x\x00"]}}, r"payload\.a\.b\[1\]"),
        ({"a": float("inf")}, r"payload\.a is inf"),
        ({"a": "\ud800"}, r"payload\.a contains half"),
        ({"a": object()}, r"payload\.a is object"),
        ({"a": 2**70}, r"payload\.a is an integer beyond"),
        ({1: 2}, "keys of JSON objects are text"),
        ({"a": "x" * 70_000}, "more than the 65536"),
    ],
)
def test_payload_that_is_not_json_is_refused_with_its_path(value, path):
    with pytest.raises(PayloadError, match=path):
        json_object(value)


def test_payload_may_have_every_integer_of_64_bits():
    assert json_object({"a": [-(2**63), 2**63 - 1]}) == {"a": [-(2**63), 2**63 - 1]}
    with pytest.raises(PayloadError, match="beyond"):
        json_object({"a": -(2**63) - 1})


def test_payload_nested_too_deep_is_refused():
    value = {}
    for _ in range(50):
        value = {"a": value}
    with pytest.raises(PayloadError, match="nested deeper"):
        json_object(value)


def test_ids_ascend_and_are_of_version_7():
    ids = [uuid7() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {one.version for one in ids} == {7}


def test_keys_tell_parts_apart():
    assert current_key("a", "bc", "d") != current_key("ab", "c", "d")
    assert current_key("a.b", "x", "n") != current_key("a.b", "X", "n")
