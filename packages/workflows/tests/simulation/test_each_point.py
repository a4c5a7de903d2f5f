"""One fault at one point, for each point there is: what SQLite does with its input and output."""

import logging
import os
from collections.abc import Iterator

import pytest

from automation.workflows.authoring.registry import registry
from tests.simulation.faults import CommitUnknown, Crash, DatabaseDown, Faults
from tests.simulation.scheduler import Scheduler
from tests.simulation.simulation import Simulation

KINDS = ("chain", "collector", "keyed", "outside", "beating", "parent", "compensated", "gossip", "dated")
FAULTS: dict[str, type[BaseException]] = {"crash": Crash, "error": DatabaseDown, "lost answer": CommitUnknown}


class Counting(Scheduler):
    """Everybody acts in turn, undisturbed, but for the faults at the points that were chosen."""

    breaks: frozenset[int] = frozenset()
    fault: type[BaseException] = Crash

    def point(self, kind: str) -> None:
        if self.current is None:
            return
        self.points += 1
        if self.points not in self.breaks or (self.fault is CommitUnknown) != (kind == "committed"):
            return
        if not (self.fault is DatabaseDown and kind == "committed"):
            raise self.fault(kind)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_versions", {})
    monkeypatch.setattr(logging.getLogger("automation.workflows"), "disabled", True)


def play(kind: str, fault: type[BaseException], *breaks: int) -> int:
    """Play one workflow from its start to its end with faults at these points; return how many points there were."""
    scheduler = Counting(seed=1, faults=Faults())
    scheduler.breaks, scheduler.fault = frozenset(breaks), fault
    simulation = Simulation(1, runs=0, faults=Faults(), scheduler=scheduler)
    simulation.take_the_stage()
    given = {"key": "k0"} if kind in {"keyed", "gossip"} else {}
    scheduler.spawn("starter", lambda: simulation.engine.start(kind, **given))
    simulation.drain()
    simulation.end()
    return scheduler.points


def positions(points: int) -> Iterator[tuple[int, ...]]:
    """Yield every point; in the long form every pair of points as well."""
    for first in range(1, points + 1):
        yield (first,)
        if os.environ.get("AUTOMATION_LONG"):
            yield from ((first, second) for second in range(first + 1, points + 1))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_one_point_loses_and_doubles_nothing(kind: str, fault: str) -> None:
    points = play(kind, FAULTS[fault])
    assert points > 10

    for breaks in positions(points):
        play(kind, FAULTS[fault], *breaks)
