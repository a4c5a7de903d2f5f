"""Workers that are replaced all the time do not keep the others waiting."""

from tests.clusters.judging import is_busy
from tests.clusters.stage import play

RUNS, REPEATS, RECYCLE = 300, 9, 500

GAP_SECONDS, BUSY_SECONDS = 2, 15
"""How long nothing may be done; a worker that must first hand over results that are saved takes 7 to 14 s."""


def test_draining_small_runs_has_no_gap_when_workers_are_recycled():
    was_busy = is_busy()

    facts = play("recycled", runs=RUNS, repeats=REPEATS, seconds=240, q2={"recycle": RECYCLE}, limit_seconds=400)
    print(f"\n{facts}")

    assert facts["workers"] >= RUNS * (1 + REPEATS) // RECYCLE - 2, "they were replaced"
    assert facts["longest gap"] <= (BUSY_SECONDS if was_busy else GAP_SECONDS)
    assert facts["doubles"] == []
