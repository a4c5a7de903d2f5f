"""What has been done leaves nothing behind in q2's tables."""

import os

from tests.clusters.stage import play

LONG = bool(os.environ.get("AUTOMATION_LONG"))

RUNS, SECONDS = (10_000, 1_500) if LONG else (300, 200)


def test_nothing_piles_up_in_the_tables_of_q2():
    # A poll that meets a call in the making sets a timer for the end of its claim: one that comes before the count.
    facts = play("piling_up", runs=RUNS, seconds=SECONDS, calls={"CLAIM": 30}, limit_seconds=SECONDS + 300)
    print(f"\n{facts}")

    assert facts["runs"] == RUNS
    assert facts["doubles"] == []
    assert facts["after"] == {"Task": 0, "Success": 0, "Failure": 0, "Schedule": 3, "queue": {"keep_sweeping": 1}}
    assert facts["before"] == facts["after"]
