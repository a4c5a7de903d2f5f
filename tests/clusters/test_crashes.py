"""Whatever is killed: after it heals, everything ended, and each line of the ledger is there once."""

import os
from typing import Any

import pytest

from automation.workflows.runs.visits import GRACE
from tests.clusters.judging import SCHEDULED_SECONDS
from tests.clusters.stage import play
from tests.clusters.strikes import PATIENCE, planned, told

LINES = 6
"""What a labourer writes."""

LONG = bool(os.environ.get("AUTOMATION_LONG"))
RESTARTS = bool(os.environ.get("AUTOMATION_TEST_RESTART_SERVER"))
"""A command that restarts the server is among the strikes; without one, connections are cut, no more."""

SWEEP, MARGIN, STEP, CALL = 2, 1, 2, 3
T = max(STEP + MARGIN, GRACE.total_seconds(), CALL) + SCHEDULED_SECONDS
"""The bound of the docs, in seconds. A dead worker may have taken the timer with it that keeps shorter intervals."""
WATCH = sum(int(seconds) for seconds in PATIENCE.values())
"""What the supervisor may need to find that the cluster that it is left with stands still."""
COURSE = 30
"""What a run that has lost nothing takes from there: its sleep, its retry, a date six seconds ahead, a busy machine."""

SHORT_FORM = {"runs": 20, "stays": 6, "trouble_seconds": 10, "patience_seconds": 180}
LONG_FORM = {"runs": 200, "stays": 40, "trouble_seconds": 240, "patience_seconds": 240}


@pytest.mark.parametrize("seed", [7, 8, 9] if LONG else [7])
def test_kills_of_everything_lose_nothing_and_double_nothing(seed: int):
    form = LONG_FORM if LONG else SHORT_FORM
    print(f"\nseed {seed}: {told(planned(seed, seconds=form['trouble_seconds'], restarts=RESTARTS))}")

    facts = play(
        "crashes",
        seed=seed,
        every={"SWEEP_EVERY": SWEEP, "POLL_EVERY": SWEEP},
        claims={"CLAIM_MARGIN": MARGIN, "REHINT": 5},
        calls={"CLAIM": CALL, "RETRY_BASE_DELAY": 1},
        limit_seconds=1000 if LONG else 500,
        **form,
    )
    print(f"seed {seed}: {facts}")

    assert facts["swept again in"] + facts["healed in"] <= WATCH + T + COURSE
    assert facts["completed"] == facts["runs"], facts
    assert facts["lines"] == {f"labour {line}": facts["runs"] for line in range(1, LINES + 1)}
    assert facts["doubles"] == []
    assert_occurrences_were_followed(facts["occurrences"])
    assert facts["lateness"]["min"] >= 0, "never early"


def assert_occurrences_were_followed(occurrences: dict[str, Any]) -> None:
    """Each occurrence called its callback once, and began its run once."""
    assert occurrences["occurred"] > 0
    assert occurrences["arrived otherwise"] == {}
    assert occurrences["early otherwise"] == {}
