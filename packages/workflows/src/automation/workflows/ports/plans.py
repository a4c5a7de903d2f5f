"""The runs reserved for occurrences: created ahead, following every edit of the date until they begin."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from automation.workflows.runs.values import Occurrence, Run

__all__ = ["Plans"]


class Plans(Protocol):
    """Moves and withdraws reserved starts in bulk, inside the transaction of the save that changes their event.

    An adapter must guarantee:

    1. Only runs that have not begun (`data is None`) and have not ended are touched, each with `revision` + 1.
    2. Of those, WAITING and PAUSED ones change. Of READY and RUNNING ones only `revision` does: a worker is deciding
       about them, or is about to, and finds by it that the event it has looked at is not what it was.
    3. One statement per call, however many runs.
    """

    def reserve(self, runs: Sequence[Run]) -> None:
        """Store starts reserved for occurrences, but for those whose occurrence already has a run of that workflow."""
        ...

    def move(self, occurrences: Sequence[Occurrence], now: datetime) -> None:
        """Set `wake_at` and `next_at` of each reserved start to its occurrence's new `at` plus its own offset.

        A PAUSED one keeps `next_at` and `why`: what it is paused for decides when it is looked at again.
        """
        ...

    def withdraw(self, occurrence_ids: Sequence[str], reason: str, now: datetime) -> None:
        """Make the reserved starts of these occurrences CANCELLED with `why=reason`."""
        ...

    def reserved(self, occurrence_ids: Sequence[str]) -> Sequence[Run]:
        """Return the reserved starts of these occurrences that have not begun and are not ended."""
        ...
