"""The queue is emptied, and everything still happens within the bound that the docs publish."""

import os

from tests.clusters.stage import play

LONG = bool(os.environ.get("AUTOMATION_LONG"))

SWEEP, POLL = (60, 300) if LONG else (10, 10)
"""In the short form the intervals are shorter, and the bounds by as much."""
OF_RUNS = 70 + SWEEP + 30
OF_EVENTS = 300 + POLL + 30
"""T: the claim, the sweep, and how late q2's scheduler may be. Nothing here has a claim to wait for."""


def test_with_an_empty_queue_everything_happens_within_the_bound():
    facts = play(
        "flushed",
        runs=20,
        seconds=OF_EVENTS + 60,
        every={"SWEEP_EVERY": SWEEP, "POLL_EVERY": POLL},
        limit_seconds=OF_EVENTS + 400,
    )
    late = facts["lateness"]
    print(f"\nlate by {late}")

    assert max(late["slept"]["max"], late["early"]["max"]) <= OF_RUNS
    assert late["arrived"]["max"] <= OF_EVENTS
    assert late["all"]["min"] >= 0
    assert facts["doubles"] == []
    assert facts["watchdogs"] == 1, "the timer that keeps short intervals is back"
