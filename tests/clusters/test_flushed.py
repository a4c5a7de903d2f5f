"""The queue is emptied, and everything still happens within the bound that the docs publish."""

import os

from tests.clusters.stage import play

LONG = bool(os.environ.get("AUTOMATION_LONG"))

SWEEP_SECONDS = 60 if LONG else 10
BOUND_SECONDS = 70 + SWEEP_SECONDS + 30
"""T: the claim, the sweep, and how late q2's scheduler may be. Sleeping runs have no claim to wait for."""


def test_with_an_empty_queue_everything_happens_within_the_bound():
    """In the short form with a shorter interval, and a bound that is shorter by as much."""
    every = {} if LONG else {"SWEEP_EVERY": SWEEP_SECONDS, "POLL_EVERY": SWEEP_SECONDS}

    facts = play("flushed", runs=20, seconds=BOUND_SECONDS + 60, every=every, limit_seconds=BOUND_SECONDS + 400)
    print(f"\nlate by {facts['lateness']}")

    assert facts["lateness"]["max"] <= BOUND_SECONDS
    assert facts["lateness"]["min"] >= 0
    assert facts["doubles"] == []
