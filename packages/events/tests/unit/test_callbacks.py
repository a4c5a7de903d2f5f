"""Registering callbacks."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest

from automation.events.callbacks import (
    EventPhase,
    on_event,
    on_event_cancelled,
    on_event_created,
    on_event_rescheduled,
)
from automation.events.errors import CallbackError
from tests.hotel.models import LoudDog, Reservation


def names(registry, event_name="paid", entity_type="shop.order", phase=EventPhase.OCCURRED):
    return [one.name.rpartition(".")[2] for one in registry.matching(phase, event_name, entity_type)]


@pytest.mark.parametrize(
    ("decorator", "phase"),
    [
        (on_event, EventPhase.OCCURRED),
        (on_event_created, EventPhase.CREATED),
        (on_event_cancelled, EventPhase.CANCELLED),
        (on_event_rescheduled, EventPhase.RESCHEDULED),
    ],
    ids=["occurred", "created", "cancelled", "rescheduled"],
)
def test_each_decorator_passes_on_what_it_is_given(callbacks, decorator, phase):
    decorator("paid", "shop.order", name="a", atomic=False, background=True)(lambda event: None)
    [one] = callbacks.matching(phase, "paid", "shop.order")
    assert (one.name, one.atomic, one.background) == ("a", False, True)
    assert names(callbacks, event_name="sent", phase=phase) == []
    assert names(callbacks, entity_type="shop.basket", phase=phase) == []


def test_decorators_give_the_function_back_unchanged():
    def handler(event): ...

    for decorator in (on_event, on_event_created, on_event_cancelled, on_event_rescheduled):
        assert decorator("paid")(handler) is handler


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("order", True), ("shop.order", True), ("Shop.Order", True), ("*", True), ("other.order", False), ("ord", False)],
)
def test_entity_type_is_a_model_or_a_full_label(callbacks, wanted, found):
    @on_event("paid", wanted)
    def handler(event): ...

    assert names(callbacks) == (["handler"] if found else [])


def test_star_hears_every_event(callbacks):
    @on_event()
    def handler(event): ...

    assert names(callbacks, "anything", "any.thing") == ["handler"]


def test_stacked_decorators_keep_every_subscription(callbacks):
    @on_event("paid")
    @on_event("sent")
    @on_event_cancelled("paid")
    def handler(event): ...

    assert names(callbacks, "paid") == names(callbacks, "sent") == ["handler"]
    assert names(callbacks, "paid", phase=EventPhase.CANCELLED) == ["handler"]


def test_two_matching_subscriptions_of_one_function_are_one_call(callbacks):
    @on_event("paid")
    @on_event("*", "order")
    def handler(event): ...

    assert names(callbacks) == ["handler"]


def test_one_name_for_two_functions_is_refused(callbacks):
    on_event("paid", name="mail")(lambda event: 1)
    with pytest.raises(CallbackError, match="Two callbacks are called 'mail'"):
        on_event("paid", name="mail")(
            lambda event: 2,
        )


def test_module_loaded_again_replaces_its_callbacks(callbacks):
    def load():
        @on_event("paid")
        def handler(event): ...

        return handler

    load()
    newest = load()
    assert [one.function for one in callbacks.all()] == [newest]


def test_module_imported_under_two_names_is_refused(callbacks):
    def load(module):
        def handler(event): ...

        handler.__module__ = module
        return on_event("paid")(handler)

    load("app.automations")
    with pytest.raises(CallbackError, match="imported under two names"):
        load("project.app.automations")


def test_lambda_needs_a_name():
    with pytest.raises(CallbackError, match="name="):
        on_event("paid")(lambda event: None)


def test_bare_decorator_is_explained():
    with pytest.raises(CallbackError, match=r"@on_event\(\)"):

        @on_event
        def handler(event): ...


def test_offset_is_one_of_two_ways(callbacks):
    on_event("paid", offset_minutes=-90, name="early")(lambda event: None)
    assert callbacks.all()[0].offset == -timedelta(minutes=90)
    with pytest.raises(CallbackError, match="not both"):
        on_event("paid", offset=timedelta(1), offset_minutes=1)
    with pytest.raises(CallbackError, match="timedelta"):
        on_event("paid", offset=5)


@pytest.mark.parametrize("offset", [timedelta.max, timedelta.min])
def test_an_offset_that_no_database_keeps_is_refused(offset):
    with pytest.raises(CallbackError, match=r"offset=.*: an offset is at most 36525 days"):
        on_event("paid", offset=offset)


@pytest.mark.parametrize("minutes", ["x", float("nan"), float("inf"), 10**12, Decimal(5), timedelta(minutes=5)])
def test_minutes_that_are_no_number_of_them_are_refused(minutes):
    with pytest.raises(CallbackError, match=rf"offset_minutes={re.escape(repr(minutes))}\): .* number of minutes"):
        on_event("paid", offset_minutes=minutes)


def test_unregister_by_function_and_by_name(callbacks):
    def one(event): ...

    on_event("paid")(one)
    on_event("paid", name="two")(lambda event: None)
    callbacks.unregister(one)
    assert names(callbacks) == ["two"]
    callbacks.unregister("two")
    assert callbacks.all() == ()


def test_clear_leaves_subscribers_alone(callbacks):
    from automation.events.ports import wiring

    before = wiring.subscribers
    callbacks.clear()
    assert wiring.subscribers == before


def test_generator_is_refused_because_calling_it_runs_nothing():
    def handler(event):
        yield

    async def handler_too(event):
        yield

    for function in (handler, handler_too):
        with pytest.raises(CallbackError, match="without yield"):
            on_event("paid")(function)


def test_name_that_does_not_fit_is_refused_whoever_gives_it():
    with pytest.raises(CallbackError, match="longer than 255"):
        on_event("paid", name="x" * 256)(lambda event: None)


def test_entity_type_may_be_the_model_itself(callbacks):
    on_event("checkin_due", Reservation, name="a")(lambda event: None)
    on_event("barked", LoudDog, name="b")(lambda event: None)
    assert names(callbacks, "checkin_due", "hotel.reservation") == ["a"]
    assert names(callbacks, "barked", "hotel.dog") == ["b"], "a proxy's events are stored under its table"
    with pytest.raises(CallbackError, match="where a model belongs"):
        on_event("paid", int)
