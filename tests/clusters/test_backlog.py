"""Sweeps are not kept waiting by more work than the workers can do."""

import os

from tests.clusters.stage import play

LONG = bool(os.environ.get("AUTOMATION_LONG"))

SHORT_FORM = {"runs": 1_000, "step_seconds": 0.05, "seconds": 240}
"""25 s of steps for two workers. The intervals are shortened, so that the backlog outlasts several of them."""
LONG_FORM = {"runs": 10_000, "step_seconds": 0.05, "seconds": 1_500}
"""250 s of steps for two workers, under the intervals that a project has."""

USUAL = {"SWEEP_EVERY": 60, "POLL_EVERY": 300}
SHORTENED = {"SWEEP_EVERY": 10, "POLL_EVERY": 10}


def test_sweeps_begin_within_twice_their_interval_under_a_backlog():
    form, every = (LONG_FORM, USUAL) if LONG else (SHORT_FORM, SHORTENED)

    facts = play("backlog", every=every, limit_seconds=form["seconds"] + 60, **form)
    print(f"\n{facts}")

    assert facts["lasted"] > 2 * every["SWEEP_EVERY"], "there was a backlog long enough"
    assert facts["longest pause"]["workflows"] <= 2 * every["SWEEP_EVERY"], facts
    assert facts["longest pause"]["events"] <= 2 * every["POLL_EVERY"], facts
    assert min(facts["sweeps"].values()) >= 1, f"they came to their end, too: {facts}"
