"""Visit every state of a small model, and find those from which no way leads to an end."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["walk"]

S = TypeVar("S")


def walk(
    first: S,
    steps: Callable[[S], Iterable[S]],
    broken: Callable[[S], Iterable[str]],
    has_ended: Callable[[S], bool],
) -> tuple[int, set[str]]:
    """Return how many states there are, and what breaks; `stuck` where no way leads to an end."""
    before: dict[S, list[S]] = {first: []}
    pending, found = [first], set[str]()
    while pending:
        state = pending.pop()
        found.update(broken(state))
        for after in steps(state):
            if after not in before:
                before[after] = []
                pending.append(after)
            before[after].append(state)
    hopeful = set(_leading_to([state for state in before if has_ended(state)], before))
    if len(hopeful) < len(before):
        found.add("stuck")
    return len(before), found


def _leading_to(ends: list[S], before: dict[S, list[S]]) -> Iterator[S]:
    seen, pending = set(ends), list(ends)
    while pending:
        state = pending.pop()
        yield state
        new = [earlier for earlier in before[state] if earlier not in seen]
        seen.update(new)
        pending += new
