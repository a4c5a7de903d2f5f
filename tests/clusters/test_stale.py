"""Workers that are stopped beyond their claims, as on a machine that is suspended, come back and are refused."""

from tests.clusters.stage import play


def test_what_a_worker_held_that_comes_back_late_is_done_once():
    """No step names a timeout, by which a late result is refused before it meets its row.

    A line is doubled only when both the guard on `revision` and the key of attempts are taken away.
    """
    facts = play(
        "stale",
        q2={"workers": 4},
        every={"SWEEP_EVERY": 2, "POLL_EVERY": 2},
        claims={"STEP_TIMEOUT": 1, "CLAIM_MARGIN": 1, "REHINT": 2},
        calls={"CLAIM": 2, "RETRY_BASE_DELAY": 1},
        limit_seconds=400,
    )
    print(facts)

    assert facts["stale"] == 3
    assert facts["before"]["walked"] == 2, "others had done it before they came back"
    assert facts["before"]["opened"] == 1
    assert facts["after"] == facts["before"]
    assert facts["owed"] == 0
    assert (facts["states"]["sleepwalker completed"], facts["states"]["daydreamer completed"]) == (1, 1)
