"""Lookups that read what ended long ago."""

from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import BROKEN, Intact
from tests.broken.telling import breaks

__all__ = ["Measured"]


class CountedRuns(dict):
    """Counts how many runs are read."""

    read = 0

    def __getitem__(self, key):
        self.read += 1
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.read += 1
        return super().get(key, default)

    def values(self):
        self.read += len(self)
        return super().values()


class Measured(Intact):
    """Tells how many runs a lookup reads."""

    def make_storage(self):
        made = super().make_storage()
        made._tables.runs = CountedRuns()
        return made

    def effort_of(self, storage, lookup):
        storage._tables.runs.read = 0
        lookup()
        return storage._tables.runs.read


class LooksThroughAllRuns(MemoryStorage):
    def due(self, now, limit):
        ended = {run.id for run in self._tables.runs.values() if run.status.is_terminal}
        return [run for run in super().due(now, limit) if run.id not in ended]


@breaks(
    BROKEN,
    "what_has_ended_costs_a_lookup_nothing",
)
class ReadsWhatHasEnded(Measured):
    storage_class = LooksThroughAllRuns
