"""What goes wrong in a scene of crashes, and when: a function of the seed alone, so that a run can be repeated."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["PATIENCE", "Strike", "planned", "told"]

WEIGHTS = {
    "a worker": 4,
    "a sentinel": 1,
    "a cluster": 1,
    "a supervisor": 1,
    "the queue": 1,
    "connections": 1,
    "a date": 6,
    "the server": 1,
}
"""Kinds of strikes. A date is moved, everything else is killed, emptied or cut."""

PATIENCE = {"GRACE": "15", "LOOK": "3", "AGE": "20"}
"""The supervisor's, in seconds: short, because the intervals of the sweeps are."""

Victim = TypeVar("Victim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One bad thing."""

    after: float
    """Seconds since the one before."""
    kind: str
    which: float
    """Whom it meets: a place between the first and the last of those that are there, from 0 up to 1."""
    how: float
    """What is left open otherwise (how far a date is moved, whether orphans are left), from 0 up to 1."""

    def victim(self, candidates: Sequence[Victim]) -> Victim | None:
        """Return the one that it meets; None where there is none."""
        return candidates[int(self.which * len(candidates))] if candidates else None


def planned(seed: int, *, seconds: float, restarts: bool) -> list[Strike]:
    """Return the strikes of a seed, one about every 0.75 s. `restarts`: the server may be restarted too."""
    source = random.Random(seed)
    weights = {kind: weight for kind, weight in WEIGHTS.items() if restarts or kind != "the server"}
    strikes: list[Strike] = []
    while sum(strike.after for strike in strikes) < seconds:
        (kind,) = source.choices(list(weights), weights=list(weights.values()))
        strikes.append(Strike(after=source.uniform(0.3, 1.2), kind=kind, which=source.random(), how=source.random()))
    return strikes


def told(strikes: Sequence[Strike]) -> str:
    """Return the plan as text, short enough to be printed before it is carried out."""
    counted = ", ".join(f"{count} x {kind}" for kind, count in Counter(each.kind for each in strikes).most_common())
    listed = " ".join(f"+{each.after:.2f}s {each.kind} {each.which:.2f}/{each.how:.2f};" for each in strikes)
    return f"{len(strikes)} strikes: {counted}.\n{listed}"
