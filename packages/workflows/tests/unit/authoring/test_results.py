"""The words that make results."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from automation.workflows.authoring.results import Wait
from automation.workflows.core import ANY, EntityRef, complete, fail, get_context, goto, sleep, wait, wait_for_event
from automation.workflows.errors import DefinitionError, NotInStep, UsageError


def named(self: Any) -> None: ...


def test_steps_are_named_by_text_or_by_method() -> None:
    assert goto("named") == goto(named)
    assert sleep(timedelta(1), then=named).then == "named"
    assert wait("x", then=named, timeout=timedelta(1), on_timeout="named").on_timeout == "named"


def test_the_three_ways_to_wait_are_one() -> None:
    options = {"timeout": timedelta(1), "on_timeout": "late", "then": "next"}

    assert wait("x", **options) == wait.for_signal("x", **options)
    assert wait_for_event("x", **options) == wait.for_event("x", **options)
    assert wait_for_event("x").signal == "event:x"
    assert repr(wait) == "wait"


def test_an_entity_is_known_by_its_concrete_model() -> None:
    concrete = SimpleNamespace(_meta=SimpleNamespace(label_lower="bookings.reservation"))
    instance = SimpleNamespace(_meta=SimpleNamespace(concrete_model=concrete), pk=7)

    assert wait_for_event("x", entity=instance).entity == EntityRef(type="bookings.reservation", id="7")
    assert wait_for_event("x", entity=ANY).entity is ANY
    assert wait_for_event("x").entity is None
    assert repr(ANY) == "ANY"
    assert str(EntityRef(type="a.b", id="1")) == "a.b:1"


@pytest.mark.parametrize("thing", ["reservation", 7, SimpleNamespace(_meta=None, pk=None)])
def test_what_is_no_saved_instance_is_refused(thing: object) -> None:
    with pytest.raises(DefinitionError, match=r"is not a saved model instance. Pass the instance itself"):
        wait_for_event("x", entity=thing)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: wait(""), "needs the name of a signal"),
        (lambda: wait("a" * 256), "needs the name of a signal"),
        (lambda: wait(named), "needs the name of a signal"),  # type: ignore[arg-type]
        (lambda: wait("x", on_timeout="late"), "would never get there. Add timeout="),
        (lambda: wait("x", timeout=5), r"takes a timedelta, not 5. Write timedelta\(minutes=...\)"),  # type: ignore[arg-type]
        (lambda: wait("x", since="yesterday"), 'since is "run", "now" or a timedelta'),  # type: ignore[arg-type]
        (lambda: sleep("x"), r"sleep\(...\) takes a timedelta, not 'x'"),  # type: ignore[arg-type]
        (lambda: sleep(60), "takes a timedelta, not 60"),  # type: ignore[arg-type]
        (lambda: sleep(timedelta.max), "takes at most 36525 days, not .* A wait without timeout= never ends"),
        (lambda: wait("x", since=timedelta(-1)), 'since is "run", "now" or a timedelta of at most 36525 days'),
        (lambda: wait("x\ud800"), "signal contains a lone surrogate"),
        (lambda: wait("x", key="\0"), "key contains NUL"),
        (lambda: wait("x", accept="approved"), "accept is a list of fields' names"),
        (lambda: wait("x", accept=[7]), "accept is a list of fields' names"),  # type: ignore[list-item]
        (lambda: wait("x", key=""), "key='' must be text of 1 to 255 characters"),
        (lambda: wait("x", key="k" * 256), "must be text of 1 to 255 characters"),
        (lambda: goto(3), "3 is not a step. Name one as 'step' or self.step"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_in_a_result_say_what_to_write(make: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make()


def test_a_time_that_is_over_is_no_time_at_all() -> None:
    assert sleep(timedelta.min).duration == wait("x", timeout=timedelta(-1)).timeout == timedelta(0)


def test_complete_and_fail_carry_what_they_are_given() -> None:
    assert complete(a=1).values == {"a": 1}
    assert fail(ValueError("no")).reason == "no"  # type: ignore[arg-type]
    assert isinstance(wait("x"), Wait)


def test_outside_of_a_step_there_is_no_context() -> None:
    with pytest.raises(NotInStep, match=r"get_context\(\) was called outside of a step"):
        get_context()
