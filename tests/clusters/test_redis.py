"""The same day with Redis as the broker, and what a crash loses there."""

import pytest

from automation.workflows.runs.visits import GRACE
from tests.clusters.judging import SCHEDULED_SECONDS, Facts, is_busy, judge_the_day, judge_the_lateness
from tests.clusters.stage import REDIS, play

TIMERS = 100


@pytest.fixture(scope="module")
def _redis() -> None:
    redis = pytest.importorskip("redis")
    connection = redis.from_url(REDIS)
    try:
        connection.ping()
    except redis.ConnectionError:
        pytest.skip(f"Redis does not answer at {REDIS}")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def facts(_redis: None) -> Facts:
    was_busy = is_busy()
    return {**play("day", timers=TIMERS, broker="redis", limit_seconds=500), "was busy": was_busy}


def test_the_guides_flow_needs_no_manual_call(facts: Facts):
    judge_the_day(facts)


def test_a_hundred_timers_are_met_and_none_is_early(facts: Facts):
    judge_the_lateness(facts, timers=TIMERS, was_busy=facts["was busy"])


STEP, MARGIN, SWEEP = 5, 1, 10
T = max(STEP + MARGIN, GRACE.total_seconds()) + SCHEDULED_SECONDS
"""The bound of the docs, in seconds: the timer that keeps the shorter interval is lost as well."""
WORK = 40
"""For a cluster that starts, and 20 steps of half a second with two workers, on a machine with other work."""


@pytest.mark.usefixtures("_redis")
def test_what_a_crash_loses_in_redis_is_made_up_for_within_the_bound():
    """There are no receipts: messages die with the cluster that has fetched them, and here Redis forgot the rest."""
    facts = play(
        "lost_in_redis",
        broker="redis",
        runs=20,
        step_seconds=0.5,
        seconds=180,
        every={"SWEEP_EVERY": SWEEP, "POLL_EVERY": SWEEP},
        claims={"STEP_TIMEOUT": STEP, "CLAIM_MARGIN": MARGIN},
        limit_seconds=600,
    )
    print(f"\n{facts}")

    assert facts["left"]["errands"] > facts["lost"]["messages"] > 0, "the others were in the cluster's hands"
    assert facts["lost"]["timers"] > 0
    assert facts["swept again in"] + facts["healed in"] <= T + WORK
    assert facts["states"] == {"errand completed": 20, "sleeper completed": 20}
    assert facts["doubles"] == []
