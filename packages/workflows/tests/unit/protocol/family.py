"""A model of a join: children that end, the news of it, and a parent that is paused, resumed and called off meanwhile.

The news is a signal of its own for each child, stored with its end. A delivery reads the parent, counts the child
in and stores that; two deliveries may be at it at once, and each may die.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tests.unit.protocol.walking import walk

__all__ = ["Join", "explore"]

WAITING, PAUSED, JOINED, CANCELLED = "waiting", "paused", "joined", "cancelled"
OUT, CLAIMED, SILENT, POSTED, HEARD, ENDED = "out", "claimed", "silent", "posted", "heard", "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The rules of a join. Each can be broken."""

    told_with_the_end: bool = True
    """A child's end and the news of it are one commit."""
    fence: bool = True
    """What a delivery stores is refused when the parent has moved since it was read."""
    resume_hears_all: bool = True
    """Whoever resumes a parent hears all that came meanwhile, not the first alone."""
    cascade: bool = True
    """Who calls off a parent calls off the children that are out, in one commit."""
    child_fence: bool = True
    """A child that was called off under its worker stores nothing."""


class Delivery(NamedTuple):
    child: int
    revision: int
    heard: frozenset[int]
    """What the parent had heard when it was read."""


class Family(NamedTuple):
    parent: str = WAITING
    revision: int = 0
    heard: frozenset[int] = frozenset()
    children: tuple[str, ...] = (OUT, OUT)
    deliveries: tuple[Delivery | None, ...] = (None, None)
    pauses: int = 2
    cancels: int = 1
    crashes: int = 2
    late: bool = False
    """A child has stored something after it was called off."""


Next: TypeAlias = Iterator[Family]


def explore(rules: Join, *, children: int = 2, cancels: int = 1) -> tuple[int, set[str]]:
    """Return how many states there are, and the promises that break."""
    first = Family(children=(OUT,) * children, cancels=cancels)
    return walk(first, lambda family: _steps(rules, family), _broken, _has_ended)


def _broken(family: Family) -> Iterator[str]:
    if family.late:
        yield "write after cancel"
    if family.parent == JOINED and len(family.heard) < len(family.children):
        yield "joined too early"
    if family.parent == CANCELLED and {OUT, CLAIMED} & set(family.children):
        yield "a child outlives its parent"


def _has_ended(family: Family) -> bool:
    return family.parent in {JOINED, CANCELLED}


def _steps(rules: Join, family: Family) -> Next:
    for at in range(len(family.children)):
        yield from _child(rules, family, at)
    for place, delivery in enumerate(family.deliveries):
        if delivery is None:
            yield from _read(family, place)
        else:
            yield from _store(rules, family, place, delivery)
    yield from _people(rules, family)


def _child(rules: Join, family: Family, at: int) -> Next:
    child = family.children[at]
    if child == OUT:
        yield _with_child(family, at, CLAIMED)
    elif child == CLAIMED or (child == "off" and not rules.child_fence):
        ended = _with_child(family, at, POSTED if rules.told_with_the_end else SILENT)
        yield ended._replace(late=family.late or child == "off")
    elif child == SILENT:
        yield _with_child(family, at, POSTED)
        if family.crashes:
            yield _with_child(family._replace(crashes=family.crashes - 1), at, ENDED)


def _read(family: Family, place: int) -> Next:
    """A delivery takes news, and reads the parent; a parent that does not wait is passed over, and the news kept."""
    busy = {delivery.child for delivery in family.deliveries if delivery}
    for at, child in enumerate(family.children):
        if child == POSTED and at not in busy:
            seen = Delivery(at, family.revision, family.heard)
            if family.parent == WAITING:
                yield _with_delivery(family, place, seen)
            else:
                yield _with_child(family, at, HEARD)


def _store(rules: Join, family: Family, place: int, delivery: Delivery) -> Next:
    idle = _with_delivery(family, place, None)
    if family.crashes:
        yield idle._replace(crashes=family.crashes - 1)
    if rules.fence and family.revision != delivery.revision:
        yield idle
        return
    told = _with_child(idle, delivery.child, HEARD)
    yield _counted(told, delivery.heard | {delivery.child})


def _counted(family: Family, heard: frozenset[int]) -> Family:
    is_all = len(heard) == len(family.children)
    return family._replace(parent=JOINED if is_all else WAITING, heard=heard, revision=family.revision + 1)


def _people(rules: Join, family: Family) -> Next:
    if family.parent == WAITING and family.pauses:
        yield family._replace(parent=PAUSED, revision=family.revision + 1, pauses=family.pauses - 1)
    if family.parent == PAUSED:
        # What is posted or was passed over is in the mailbox; what the parent has heard has its receipt.
        came = [at for at, child in enumerate(family.children) if child in {POSTED, HEARD} and at not in family.heard]
        heard = family.heard | set(came if rules.resume_hears_all else came[:1])
        yield _counted(family, heard)
    if family.parent in {WAITING, PAUSED} and family.cancels:
        off = tuple("off" if child in {OUT, CLAIMED} else child for child in family.children)
        called_off = family._replace(parent=CANCELLED, revision=family.revision + 1, cancels=family.cancels - 1)
        yield called_off._replace(children=off if rules.cascade else family.children)


def _with_child(family: Family, at: int, child: str) -> Family:
    return family._replace(children=(*family.children[:at], child, *family.children[at + 1 :]))


def _with_delivery(family: Family, place: int, delivery: Delivery | None) -> Family:
    return family._replace(deliveries=(*family.deliveries[:place], delivery, *family.deliveries[place + 1 :]))
