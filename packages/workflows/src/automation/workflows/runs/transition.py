"""The move that `decide` decided: what the run was, what it is, why, and what to do once that is durable."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from automation.workflows.runs.values import Attempt, Run, Signal

__all__ = ["CancelRuns", "Effect", "Enqueue", "Send", "Transition", "fold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    """Hand a run to the executor."""

    run_id: UUID
    run_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Post a signal in the transaction of the move (a child tells its parent that it ended)."""

    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRuns:
    """Cancel other runs in the transaction of the move (a parent that ends takes its children along)."""

    run_ids: tuple[UUID, ...]
    reason: str


Effect: TypeAlias = Enqueue | Send | CancelRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One stored change of one run. `after.revision` is greater than `before.revision` by one."""

    before: Run
    after: Run
    cause: str
    """The name of the cause, as in the table; causes folded into one write are joined by `+`."""
    attempt: Attempt | None = None
    consumed: UUID | None = None
    """The signal that the run consumes with this move."""
    effects: tuple[Effect, ...] = ()


def fold(first: Transition, *others: Transition) -> Transition:
    """Make one stored change of several moves that follow each other: one revision, one attempt row, one signal.

    A hint for a state that is passed through is dropped; everything else that the moves owe is kept.
    """
    moves = (first, *others)
    last = moves[-1]
    passing = [effect for move in moves[:-1] for effect in move.effects if not isinstance(effect, Enqueue)]
    revision = first.before.revision + 1
    attempt = next((move.attempt for move in moves if move.attempt is not None), None)
    return Transition(
        before=first.before,
        after=replace(last.after, revision=revision),
        cause="+".join(move.cause for move in moves),
        attempt=None if attempt is None else replace(attempt, revision=revision),
        consumed=next((move.consumed for move in moves if move.consumed is not None), None),
        effects=(*passing, *last.effects),
    )
