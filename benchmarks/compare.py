"""Run every entrant a few times, turn about, and print the medians as ratios: `make bench`.

Ratios and not seconds, because seconds are about the machine. Entrants of one race do the same work on the same
PostgreSQL server, each in a process and a database of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENTRANTS = Path(__file__).resolve().parent / "entrants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Entrants that do the same work; the first is ours."""

    title: str
    unit: str
    count: int
    entrants: dict[str, str]
    """By name: the script."""


RACES = (
    Race(
        title="A durable workflow of ten steps, each committed",
        unit="step",
        count=100,
        entrants={"automation-workflows": "chain_ours.py", "DBOS": "chain_dbos.py"},
    ),
    Race(
        title="A saved row whose handler is called durably, in its own transaction",
        unit="row",
        count=500,
        entrants={"automation-events": "handler_ours.py", "procrastinate": "handler_procrastinate.py"},
    ),
)


def seconds_per_unit(script: str, count: int) -> float:
    """Run one entrant once."""
    command = [sys.executable, ENTRANTS / script, "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stdout}{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds_per_unit"])


def run(race: Race, rounds: int) -> None:
    """Run a race and print it."""
    measured: dict[str, list[float]] = {name: [] for name in race.entrants}
    for _ in range(rounds):
        for name, script in race.entrants.items():
            measured[name].append(seconds_per_unit(script, race.count))
    ours, *_ = (statistics.median(times) for times in measured.values())
    print(f"\n{race.title} ({race.count} times, {rounds} rounds)")
    for name, times in measured.items():
        median, least, most = (1000 * pick(times) for pick in (statistics.median, min, max))
        ratio = statistics.median(times) / ours
        print(f"  {name:22} {ratio:5.2f} x   {median:.2f} ms per {race.unit} ({least:.2f} to {most:.2f})")


def main() -> None:
    """Run all races."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for race in RACES:
        run(race, rounds)


if __name__ == "__main__":
    main()
