"""The queue is emptied, and everything still happens within the bound that the docs publish."""

from tests.clusters.stage import play

BOUND_SECONDS = 70 + 60 + 30
"""T: the claim, the sweep, and how late q2's scheduler may be. Sleeping runs have no claim to wait for."""


def test_with_an_empty_queue_everything_happens_within_the_bound():
    facts = play("flushed", runs=20, seconds=BOUND_SECONDS + 20, limit_seconds=BOUND_SECONDS + 80)
    print(f"\nlate by {facts['lateness']}")

    assert facts["lateness"]["max"] <= BOUND_SECONDS
    assert facts["lateness"]["min"] >= 0
    assert facts["doubles"] == []
