"""What several broken storages have in common."""

from dataclasses import replace
from typing import Any

from automation.workflows.memory import MemoryStorage
from automation.workflows.runs.values import Run

__all__ = ["Reading", "Writing", "sorted_json"]


class Reading(MemoryStorage):
    """Gives runs as `read` makes them; what is stored is right."""

    def read(self, run: Run) -> Run:
        return run

    def load(self, run_id):
        run = super().load(run_id)
        return None if run is None else self.read(run)


class Writing(MemoryStorage):
    """Stores what `written` makes of the run after a move."""

    def written(self, before: Run, after: Run) -> Run:
        return after

    def apply(self, transitions):
        super().apply([replace(move, after=self.written(move.before, move.after)) for move in transitions])


def sorted_json(value: Any) -> Any:
    """Return a JSON value with its keys in the order of the alphabet."""
    if isinstance(value, dict):
        return {key: sorted_json(value[key]) for key in sorted(value)}
    return value
