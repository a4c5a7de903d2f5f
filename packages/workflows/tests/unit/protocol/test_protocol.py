"""The protocol, every interleaving of it, keeps its promises; without any one of its rules it does not."""

from dataclasses import fields

import pytest

from tests.unit.protocol.model import Model, Protocol, broken_by, explore

ONE = Model(doubles=0, losses=1)
"""One signal, one crash, one cancel, one claim that ends."""
LONELY = Model(doubles=0, losses=1, cancels=0)
"""Nobody cancels, so that the run must come to its end."""
BROADCASTS = Model(names=("a", "a"), addressed=False, cancels=0, crashes=0, losses=0, doubles=0)
IN_TURN = Model(names=("a", "a"), in_turn=True, cancels=0, crashes=0, losses=0, doubles=0)
CANCELLED = Model(crashes=0, doubles=0, losses=0)
PAUSED = Model(crashes=0, doubles=0, losses=1, cancels=0, pauses=1)
UNANSWERED = Model(crashes=0, doubles=0, losses=1, cancels=0, unknowns=1)


@pytest.mark.parametrize(
    "model",
    [
        Model(),
        Model(names=("a", "b"), doubles=0, losses=1),
        Model(names=("a", "a"), in_turn=True, doubles=0, losses=1),
        Model(names=("a", "a"), addressed=False, doubles=0, losses=1),
        Model(timers=1),
        LONELY,
        PAUSED,
        Model(doubles=0, losses=1, pauses=2),
        UNANSWERED,
        Model(doubles=0, losses=1, cancels=0, pauses=1, unknowns=1),
    ],
    ids=[
        *("one", "two-names", "in-turn", "broadcasts", "timer", "lonely"),
        *("paused", "paused-and-worse", "unanswered", "unanswered-and-worse"),
    ],
)
def test_the_protocol_keeps_its_promises(model: Model) -> None:
    states, broken = explore(model)

    assert states > 500
    assert broken == {}


STUCK = {"stuck ready", "stuck running", "stuck waiting"}


@pytest.mark.parametrize(
    ("rule", "model", "promises"),
    [
        ("fence", LONELY, {"effect twice"}),
        ("fence", CANCELLED, {"write after cancel"}),
        ("cancel_moves_fence", CANCELLED, {"write after cancel"}),
        ("mailbox_look", LONELY, STUCK),
        ("wait_lock", LONELY, {"stuck waiting"}),
        ("wait_lock", IN_TURN, {"out of order"}),
        ("delivery_lock", LONELY, {"stuck waiting"}),
        ("delivery_lock", IN_TURN, {"out of order"}),
        ("receipts", IN_TURN, {"signal consumed twice", "effect twice"}),
        ("sweep", LONELY, {"stuck ready", "stuck running"}),
        ("delivery_by_sweep", LONELY, STUCK),
        ("place_at_delivery", BROADCASTS, {"stuck waiting"}),
        ("order", IN_TURN, {"out of order"}),
        ("pause_holds", PAUSED, {"moved while paused"}),
        ("resume_look", PAUSED, {"stuck waiting"}),
        ("fence", UNANSWERED, {"effect twice"}),
        ("reread", UNANSWERED, {"effect twice"}),
    ],
)
def test_without_a_rule_promises_break(rule: str, model: Model, promises: set[str]) -> None:
    assert broken_by(model, **{rule: False}) >= promises


def test_every_rule_is_needed() -> None:
    """A rule whose absence nobody notices would be superstition, or a hole in the model."""
    models = (LONELY, BROADCASTS, IN_TURN, CANCELLED, PAUSED, UNANSWERED)
    idle = [
        rule.name for rule in fields(Protocol) if not any(broken_by(model, **{rule.name: False}) for model in models)
    ]

    assert idle == []
