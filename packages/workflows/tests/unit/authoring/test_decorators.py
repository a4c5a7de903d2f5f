"""Definition mistakes are found at import, and the error says what to write."""

import re
from datetime import timedelta
from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from automation.workflows import core as words
from automation.workflows.authoring.registry import registry
from automation.workflows.core import (
    Retry,
    complete,
    event_workflow,
    goto,
    on_fail,
    run_child,
    sleep,
    step,
    wait,
    wait_for_event,
    workflow,
)
from automation.workflows.errors import DefinitionError


class Nothing(BaseModel):
    """A Context without fields."""


def build(**members: Any) -> type:
    """Make a class with a Context and a start step, changed by `members`."""

    @step(start=True)
    def run(self: Any) -> Any:
        return complete()

    given = {"Context": Nothing, "run": run, "__module__": "shop.automations", **members}
    return type("Shipping", (), {name: member for name, member in given.items() if member is not None})


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"Context": None}, r"shop.automations.Shipping must define a Context class. Write inside it: class Context\("),
        ({"Context": dict}, "must inherit from BaseModel"),
        ({"Context": Nothing()}, "must inherit from BaseModel"),
        ({"run": None}, "must have exactly one step marked with start=True"),
        ({"other": step(start=True)(lambda self: None)}, "has multiple start steps: run, other"),
        (
            {"undo": on_fail(lambda self: None), "undo_too": on_fail(lambda self: None)},
            "has multiple @on_fail handlers: undo, undo_too. Keep one",
        ),
        ({"create_context": step()(lambda self: None)}, "'create_context' .* has a name that the engine uses. Rename"),
    ],
    ids=["no-context", "dict", "instance", "no-start", "two-starts", "two-on-fails", "reserved"],
)
@pytest.mark.parametrize("decorator", [workflow("shipping"), event_workflow("sold")], ids=["workflow", "event"])
def test_a_class_that_is_not_a_workflow_is_refused(decorator: Any, members: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        decorator(build(**members))

    assert list(registry) == []


class WithSecret(BaseModel):
    token: SecretStr | None = None


class WithPrivate(BaseModel):
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class WithExcluded(BaseModel):
    hidden: int = Field(default=0, exclude=True)


class Nested(BaseModel):
    inner: list[WithSecret] = []


@pytest.mark.parametrize(
    ("context", "says"),
    [
        (WithSecret, "field 'token' is a secret, which is stored as asterisks"),
        (WithPrivate, "private attribute '_cache' would be lost"),
        (Frozen, "it is frozen, so no step could change it"),
        (WithExcluded, "field 'hidden' is excluded from serialisation"),
        (Nested, "in field 'inner': WithSecret.token is a secret"),
    ],
)
def test_a_context_that_does_not_come_back_is_refused(context: type, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        workflow("shipping")(build(Context=context))


go_on = goto


def leads_nowhere_goto(self: Any) -> Any:
    return goto("shp")


def leads_nowhere_self(self: Any) -> Any:
    return goto(self.plain)


def leads_nowhere_sleep(self: Any) -> Any:
    return sleep(timedelta(1), then="nowhere")


def leads_nowhere_wait(self: Any) -> Any:
    return wait("x", timeout=timedelta(1), on_timeout="nowhere")


def leads_nowhere_for_signal(self: Any) -> Any:
    return wait.for_signal("x", then=self.nowhere)


def leads_nowhere_event(self: Any) -> Any:
    return wait_for_event("x", timeout=timedelta(1), on_timeout="nowhere")


def leads_nowhere_child(self: Any) -> Any:
    return run_child("other", then="nowhere")


def leads_nowhere_by_module(self: Any) -> Any:
    return words.goto("nowhere")


def leads_nowhere_for_event_by_module(self: Any) -> Any:
    return words.wait.for_event("x", then=self.nowhere)


def leads_nowhere_by_another_name(self: Any) -> Any:
    return go_on("nowhere")


def leads_to_on_fail(self: Any) -> Any:
    return goto("undo")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (leads_nowhere_goto, r"In step 'go', goto leads to 'shp', which is not a @step .* Did you mean 'ship'\?"),
        (leads_nowhere_self, r"'plain', which is not a @step .* It is a method: write @step\(\) over it"),
        (leads_nowhere_sleep, "sleep leads to 'nowhere'"),
        (leads_nowhere_wait, "wait leads to 'nowhere'"),
        (leads_nowhere_for_signal, "wait.for_signal leads to 'nowhere'"),
        (leads_nowhere_event, "wait_for_event leads to 'nowhere'"),
        (leads_nowhere_child, "run_child leads to 'nowhere'"),
        (leads_nowhere_by_module, "words.goto leads to 'nowhere'"),
        (leads_nowhere_for_event_by_module, "words.wait.for_event leads to 'nowhere'"),
        (leads_nowhere_by_another_name, "go_on leads to 'nowhere'"),
        (leads_to_on_fail, "the @on_fail handler of workflow 'shipping', which only a failure enters"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_target_that_can_be_seen_is_checked(body: Any, says: str) -> None:
    members = {
        "go": step()(body),
        "ship": step()(lambda self: None),
        "plain": lambda self: None,
        "undo": on_fail(lambda self: None),
    }
    with pytest.raises(DefinitionError, match=says):
        workflow("shipping")(build(**members))


def computes_its_target(self: Any) -> Any:
    return goto("sh" + "ip")


def another_goto(self: Any) -> Any:
    def goto(name: str) -> str:
        return name

    return goto("nowhere")


@pytest.mark.parametrize("body", [computes_its_target, another_goto])
def test_a_target_that_cannot_be_seen_is_left_to_the_run(body: Any) -> None:
    workflow("shipping")(build(go=step()(body)))

    assert registry.newest("shipping") is not None


def test_a_step_must_be_called() -> None:
    with pytest.raises(DefinitionError, match=r"@step on .*run must be called. Write @step\(\) or @step\(start=True\)"):

        @step
        def run(self: Any) -> Any: ...


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retry": 3}, r"@step\(retry=3\) is not a policy. Write retry=Retry\(max_attempts=...\)"),
        ({"timeout": 5}, r"@step\(timeout=5\) is not a duration. Write timeout=timedelta\(seconds=...\)"),
        ({"timeout": timedelta(0)}, "is not a duration"),
    ],
)
def test_options_of_a_step_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        step(**options)


def test_decorators_must_be_called_with_a_name() -> None:
    with pytest.raises(DefinitionError, match=r"@workflow on .*Shipping needs a name. Write @workflow\('a_name'\)"):
        workflow(build())
    with pytest.raises(DefinitionError, match=r"@event_workflow on .*Shipping needs an event"):
        event_workflow(build())
    with pytest.raises(DefinitionError, match=r"has both offset and offset_minutes. Keep one"):
        event_workflow("sold", offset_minutes=5, offset=timedelta(minutes=5))


@pytest.mark.parametrize("name", ["", "a" * 256, "a\nb", "a\x00b"], ids=["empty", "long", "newline", "nul"])
def test_names_that_no_column_holds_are_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="must be text of 1 to 255 printable characters"):
        workflow(name)(build())


def test_names_with_colons_slashes_and_any_alphabet_are_welcome() -> None:
    workflow("shop:übersicht/日本")(build())

    assert registry.newest("shop:übersicht/日本") is not None


def test_a_name_that_is_taken_names_both_classes_and_the_way_out() -> None:
    workflow("shipping")(build())
    with pytest.raises(
        DefinitionError,
        match=r"The name 'shipping', version '1', is already taken by shop.automations.Shipping; "
        r"other.automations.Shipping needs another. Pass name=..., or version=...",
    ):
        workflow("shipping")(build(__module__="other.automations"))


def test_a_class_that_is_read_again_replaces_itself() -> None:
    workflow("shipping")(build())
    again = workflow("shipping")(build())

    assert [definition.cls for definition in registry] == [again]


def test_two_current_versions_are_refused() -> None:
    workflow("shipping", version="1", current=True)(build())
    with pytest.raises(DefinitionError, match=r"has two current versions: '1' .* and '2'"):
        workflow("shipping", version="2", current=True)(build(__module__="other"))


def test_the_decorated_things_are_given_back_unchanged() -> None:
    def body(self: Any) -> Any: ...

    cls = build()

    assert step()(body) is body
    assert workflow("shipping")(cls) is cls


def test_steps_are_inherited_and_may_be_taken_out() -> None:
    base = build(ship=step()(lambda self: None), bill=step()(lambda self: None))

    @workflow("special")
    class Special(base):  # type: ignore[misc,valid-type]
        bill = None

    definition = registry.newest("special")
    assert definition is not None
    assert set(definition.steps) == {"run", "ship"}


def test_a_wrapped_step_is_still_a_step() -> None:
    def traced(function: Any) -> Any:
        @wraps(function)
        def inner(self: Any) -> Any:
            return function(self)

        return inner

    workflow("shipping")(build(ship=traced(step()(lambda self: None))))

    definition = registry.newest("shipping")
    assert definition is not None
    assert "ship" in definition.steps


def test_a_steps_retry_comes_before_the_workflows() -> None:
    own, default = Retry(max_attempts=7), Retry(max_attempts=5)
    workflow("shipping", default_retry=default)(build(ship=step(retry=own)(lambda self: None)))

    definition = registry.newest("shipping")
    assert definition is not None
    assert (definition.steps["run"].retry, definition.steps["ship"].retry) == (default, own)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"default_retry": 3}, r"\(default_retry=3\) is not a policy. Write default_retry=Retry\(max_attempts=...\)"),
        ({"deadline": 3600}, r"\(deadline=3600\) is not a duration. Write deadline=timedelta\(seconds=...\)"),
        ({"deadline": timedelta(0)}, "is not a duration. Write deadline="),
        ({"deadline": timedelta.max}, "is not a duration. Write deadline="),
        ({"upgrades": "10"}, r"upgrades='10' is not a tuple of versions. Write upgrades=\('1',\)"),
        ({"upgrades": (1,)}, "is not a tuple of versions"),
    ],
)
@pytest.mark.parametrize("decorate", [workflow, event_workflow], ids=["workflow", "event_workflow"])
def test_options_of_a_workflow_that_make_no_sense_are_refused(
    decorate: Any, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(DefinitionError, match=says):
        decorate("shipping", **options)(build())


@pytest.mark.parametrize("options", [{"retry": 7}, {"timeout": 5}])
def test_options_of_on_fail_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"@on_fail\((retry=7|timeout=5)\) is not a"):
        on_fail(**options)


@pytest.mark.parametrize(
    "wanted",
    [None, 5, object, type("Dated", (), {"_meta": SimpleNamespace(abstract=True)})],
    ids=["none", "number", "class", "abstract-model"],
)
def test_an_entity_type_that_is_no_model_is_refused(wanted: Any) -> None:
    with pytest.raises(DefinitionError, match=r"names no model. Write a model, 'model' or 'app_label.model'"):
        event_workflow("shipping", entity_type=wanted)


@pytest.mark.parametrize("minutes", ["x", None, float("nan"), float("inf"), 10**12, timedelta(minutes=5)])
def test_minutes_that_are_no_number_of_them_are_refused(minutes: Any) -> None:
    says = rf"@event_workflow\('shipping', offset_minutes={re.escape(repr(minutes))}\) is not a number of minutes"
    with pytest.raises(DefinitionError, match=says):
        event_workflow("shipping", offset_minutes=minutes)


@pytest.mark.parametrize("offset", [5, timedelta.max, timedelta.min])
def test_an_offset_that_is_no_time_is_refused(offset: Any) -> None:
    with pytest.raises(DefinitionError, match="is not a time before or after an event"):
        event_workflow("shipping", offset=offset)
