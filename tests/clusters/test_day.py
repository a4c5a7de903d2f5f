"""The guide's whole flow on a real cluster, and a hundred timers beside it."""

import pytest

from tests.clusters.judging import Facts, is_busy, judge_the_day, judge_the_lateness
from tests.clusters.stage import play

TIMERS = 100


@pytest.fixture(scope="module")
def facts() -> Facts:
    was_busy = is_busy()
    return {**play("day", timers=TIMERS, limit_seconds=500), "was busy": was_busy}


def test_the_guides_flow_needs_no_manual_call(facts: Facts):
    judge_the_day(facts)


def test_a_hundred_timers_are_met_and_none_is_early(facts: Facts):
    judge_the_lateness(facts, timers=TIMERS, was_busy=facts["was busy"])
