"""How the facts of a day are judged, whatever the database and the broker."""

import os
from typing import Any

Facts = dict[str, Any]

LONG = bool(os.environ.get("AUTOMATION_LONG"))

PUNCTUAL_SECONDS = {"orm": 1.0, "redis": 5.0}
"""What is promised of timers (p95) on a machine that has time, by broker."""


SCHEDULED_SECONDS = 60 + 30
"""How long it may be to the next sweep when the timer that keeps short intervals is lost too: q2's schedules know whole
minutes, and are looked at each 30 s."""


def is_busy() -> bool:
    """Return whether this machine has more to do than it can: figures of seconds then say nothing of ours."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def judge_the_day(facts: Facts) -> None:
    """The guide's flow came to its end, in order, once, and nothing was early."""
    assert facts["schedules"] == ["Events: cleanup_old", "Events: poll_due", "Workflows: process_scheduled"]
    assert sorted(facts["with papers"]) == sorted(
        ["welcomed", "prepared", "with papers", "rested", "closed", "arrived", "asked"]
    )
    assert sorted(facts["without papers"]) == sorted(
        ["welcomed", "prepared", "without papers", "rested", "closed", "arrived", "asked"]
    )
    for papers in ("with papers", "without papers"):
        # The steps of one run. How the run, the call and the other run stand to each other is a matter of lateness.
        steps = [what for what in facts[papers] if what in {"prepared", papers, "rested", "closed"}]
        assert steps == ["prepared", papers, "rested", "closed"]
    assert facts["states"]["prepare completed"] == 2
    assert not [state for state in facts["states"] if "failed" in state]
    assert facts["doubles"] == []
    assert facts["left in q2"] == {"results": 0, "waiting": 0}


def judge_the_lateness(facts: Facts, *, timers: int, was_busy: bool) -> None:
    """Nothing is early. How late is told, and asserted in the long form on a machine that had time.

    Otherwise there is only a bound that the sweeps alone could not keep.
    """
    late = facts["lateness"]["all"]
    kinds = {kind: f"p95 {spread['p95']:.2f}" for kind, spread in facts["lateness"].items() if kind != "all"}
    print(
        f"\n{facts['database']}, {facts['broker']} broker: {late['count']} timers late by p50 {late['p50']:.2f} s, "
        f"p95 {late['p95']:.2f} s, max {late['max']:.2f} s; {kinds}"
    )
    assert late["count"] >= timers
    assert late["min"] >= 0, "never early"
    assert late["p50"] < 20, "the sweeps alone come each minute: half of the timers would be later than this"
    if LONG and not was_busy:
        broker = "redis" if facts["broker"] == "redis" else "orm"
        assert late["p95"] <= PUNCTUAL_SECONDS[broker], facts["lateness"]
