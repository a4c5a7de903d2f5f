"""What q2 does to tasks that hang, leave or take long, and to all schedules when one cannot be read."""

import pytest

from tests.clusters.judging import Facts
from tests.clusters.stage import play


@pytest.fixture(scope="module")
def facts() -> Facts:
    """`retry` is shorter than `timeout`, which a check warns of: the slow step's message goes to a second worker.

    One is free for it: of the four, one may hang, one be killed, and one is at the step.
    """
    return play(
        "hardships",
        q2={"timeout": 6, "retry": 2, "workers": 4},
        every={"SWEEP_EVERY": 2},
        claims={"CLAIM_MARGIN": 1},
        limit_seconds=600,
    )


def test_a_step_that_hangs_fails_when_q2_ends_it(facts: Facts):
    assert facts["states"]["hanger failed"] == 1
    assert facts["errors"]["hanger"].startswith("TimeoutException")


def test_a_step_that_ends_the_process_fails_and_is_not_redelivered_for_ever(facts: Facts):
    assert facts["states"]["leaver failed"] == 1
    assert facts["errors"]["leaver"] == "SystemExit: 3"
    assert facts["left in q2"]["waiting"] == 0


def test_a_step_that_kills_its_worker_each_time_fails_after_five_losses(facts: Facts):
    assert facts["states"]["killer failed"] == 1
    assert facts["losses"] == {"hanger": 0, "killer": 5, "leaver": 0, "slowcoach": 0}


def test_a_step_that_outlasts_retry_is_done_once(facts: Facts):
    assert facts["states"]["slowcoach completed"] == 1
    assert facts["entries"]["arrived at last"] == 1
    assert facts["doubles"] == []


def test_the_other_runs_go_on(facts: Facts):
    assert facts["states"]["labourer completed"] == 3


def test_sweeps_go_on_beside_a_schedule_that_nobody_can_read(facts: Facts):
    assert facts["swept"]
