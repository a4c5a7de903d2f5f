"""Whatever goes wrong, no step is lost or doubled, and everything ends once the faults have ended.

`AUTOMATION_DELIVERIES=10000000 pytest tests/simulation` is the long form; `AUTOMATION_SEED` is the seed to begin with.
A failure prints its seed: `simulate(seed)` plays it again.
"""

import logging
import os
import subprocess
import sys
from collections import Counter

import pytest

from automation.workflows.authoring.registry import registry
from automation.workflows.ports import Policy
from tests.simulation.faults import Faults
from tests.simulation.invariants import Broken
from tests.simulation.simulation import Simulation, simulate

DELIVERIES = int(os.environ.get("AUTOMATION_DELIVERIES", "100000"))
FIRST_SEED = int(os.environ.get("AUTOMATION_SEED", "0"))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated world has its own registry, and its errors are on purpose."""
    monkeypatch.setattr(registry, "_versions", {})
    monkeypatch.setattr(logging.getLogger("automation.workflows"), "disabled", True)


def test_no_step_is_lost_or_doubled_under_any_mix_of_faults() -> None:
    done, seed = 0, FIRST_SEED
    coverage: Counter[str] = Counter()
    while done < DELIVERIES:
        simulation = simulate(seed)
        done += simulation.deliveries
        coverage.update(simulation.scheduler.coverage)
        seed += 1

    print(f"{done} deliveries, seeds {FIRST_SEED} to {seed - 1}: {dict(sorted(coverage.items()))}")
    if DELIVERIES >= 20_000:
        assert set(coverage) >= {
            "answer of a commit lost",
            "claims expire under live workers",
            "crash at apply",
            "crash at commit",
            "crash at committed",
            "crash at load",
            "error at apply",
            "error at commit",
            "error at load",
            "hint doubled",
            "hint lost",
            "failed at its deadline",
            "failed for its lost workers",
            "paused for its code",
            "went on when its code was back",
        }


@pytest.mark.parametrize("fault", ["crash", "database", "unknown", "drop", "duplicate", "jump", "meddling", "absence"])
def test_each_fault_alone_and_often(fault: str) -> None:
    rate = {"crash": 0.05, "database": 0.05, "unknown": 0.3}.get(fault, 0.3)
    for seed in range(5):
        simulate(seed, faults=Faults(**{fault: rate}))


def test_the_judge_refuses_an_end_that_nobody_meant() -> None:
    """One that fails for a single crash, one that may not start its children, one cancelled behind all backs."""
    touchy = Simulation(3, faults=Faults(crash=0.2))
    touchy.engine.wiring.policy = lambda: Policy(lost_limit=1)
    with pytest.raises(Broken, match="poison is given all the workers it is allowed"):
        touchy.run()

    childless = Simulation(3, faults=Faults(), runs=0)
    childless.take_the_stage()
    childless.engine.wiring.policy = lambda: Policy(starts_per_step=1)
    childless.engine.start("parent")
    with pytest.raises(Broken, match="nothing fails but what does so on purpose"):
        childless.end()

    betrayed = Simulation(3, faults=Faults(), runs=0)
    betrayed.take_the_stage()
    betrayed.engine.cancel(betrayed.engine.start("racer").id)
    with pytest.raises(Broken, match="nothing is cancelled that nobody called off"):
        betrayed.end()


def test_the_same_seed_gives_the_same_trace() -> None:
    traces = {simulate(seed).scheduler.trace for seed in (7, 7)}

    assert len(traces) == 1
    assert simulate(8).scheduler.trace not in traces


def test_the_same_seed_gives_the_same_trace_in_another_process() -> None:
    """Neither the order of sets of text, nor chance, nor the wall clock has a say."""
    program = "from tests.simulation.simulation import simulate; print(simulate(11).scheduler.trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(traces) == 1
