"""A model of one signal to several runs: each is to hear it once, however many deliveries are at it, and die at it.

A run looks into the mailbox before it waits; when it has heard the signal it waits again, and must not hear it twice.
A delivery wakes one run per commit, the smallest batch there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tests.unit.protocol.walking import walk

__all__ = ["Cast", "explore"]

READY, LOOKED, WAITING = "ready", "looked", "waiting"
UNSENT, POSTED, PLACED, DELIVERED = "unsent", "posted", "placed", "delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The rules of a broadcast. Each can be broken."""

    look: bool = True
    """Before it waits, a run looks for a signal that was first."""
    wait_lock: bool = True
    """It does so under the lock of the name, which whoever gives the signal its place holds as well."""
    receipts: bool = True
    """A run that has heard the signal does not hear it again."""
    fence: bool = True
    """A delivery wakes a run only as it has read it."""
    finished_last: bool = True
    """A signal is done with when no run waits for it any more, not after the first batch."""


class Member(NamedTuple):
    status: str = READY
    heard: int = 0
    found: bool = False


class World(NamedTuple):
    runs: tuple[Member, ...]
    signal: str = UNSENT
    deliveries: tuple[tuple[int, int] | None, ...] = (None, None)
    """The run that each is about to wake, and what that had heard when it was read."""
    crashes: int = 2


Next: TypeAlias = Iterator[World]


def explore(rules: Cast, runs: int = 2) -> tuple[int, set[str]]:
    """Return how many states there are, and the promises that break."""
    return walk(World((Member(),) * runs), lambda world: _steps(rules, world), _broken, _has_ended)


def _broken(world: World) -> Iterator[str]:
    if any(run.heard > 1 for run in world.runs):
        yield "heard twice"


def _has_ended(world: World) -> bool:
    return all(run.heard for run in world.runs)


def _steps(rules: Cast, world: World) -> Next:
    if world.signal == UNSENT:
        yield world._replace(signal=POSTED)
    if world.signal == POSTED and not (rules.wait_lock and any(run.status == LOOKED for run in world.runs)):
        yield world._replace(signal=PLACED)
    for at, run in enumerate(world.runs):
        yield from _run(rules, world, at, run)
    for place, chosen in enumerate(world.deliveries):
        if chosen is None:
            yield from _choose(rules, world, place)
        else:
            yield from _wake(rules, world, place, chosen)


def _run(rules: Cast, world: World, at: int, run: Member) -> Next:
    if run.status == READY and not (rules.wait_lock and any(other.status == LOOKED for other in world.runs)):
        is_there = world.signal in {PLACED, DELIVERED} and not (rules.receipts and run.heard)
        yield _with_run(world, at, run._replace(status=LOOKED, found=rules.look and is_there and run.heard < 2))
    elif run.status == LOOKED and run.found:
        yield _with_run(world, at, Member(READY, run.heard + 1))
    elif run.status == LOOKED:
        yield _with_run(world, at, Member(WAITING, run.heard))


def _choose(rules: Cast, world: World, place: int) -> Next:
    if world.signal != PLACED:
        return
    waiting = [
        at for at, run in enumerate(world.runs) if run.status == WAITING and run.heard < (1 if rules.receipts else 2)
    ]
    for at in waiting:
        yield _with_delivery(world, place, (at, world.runs[at].heard))
    if not waiting:
        yield world._replace(signal=DELIVERED)


def _wake(rules: Cast, world: World, place: int, chosen: tuple[int, int]) -> Next:
    idle = _with_delivery(world, place, None)
    if world.crashes:
        yield idle._replace(crashes=world.crashes - 1)
    at, heard = chosen
    run = world.runs[at]
    if rules.fence and (run.status, run.heard) != (WAITING, heard):
        yield idle
    else:
        woken = _with_run(idle, at, Member(READY, run.heard + 1))
        yield woken if rules.finished_last else woken._replace(signal=DELIVERED)


def _with_run(world: World, at: int, run: Member) -> World:
    return world._replace(runs=(*world.runs[:at], run, *world.runs[at + 1 :]))


def _with_delivery(world: World, place: int, chosen: tuple[int, int] | None) -> World:
    return world._replace(deliveries=(*world.deliveries[:place], chosen, *world.deliveries[place + 1 :]))
