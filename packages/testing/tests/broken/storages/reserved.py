"""Reserved starts that are made twice, or not found again."""

from automation.workflows.engine.memory.plans import MemoryPlans
from tests.broken.storages.intact import plans


@plans(
    "a_start_is_reserved_once_for_its_occurrence",
)
class ReservesAgain(MemoryPlans):
    def reserve(self, runs):
        with self._transaction() as open_:
            open_.changes.runs |= {run.id: run for run in runs}


@plans(
    "a_start_is_reserved_once_for_its_occurrence",
)
class ReservesTheFirst(MemoryPlans):
    def reserve(self, runs):
        super().reserve(runs[:1])


@plans(
    "reserved_gives_what_has_not_begun_and_not_ended",
)
class GivesWhatHasBegunAsReserved(MemoryPlans):
    def reserved(self, occurrence_ids):
        with self._transaction() as open_:
            return [run for run in open_.live() if run.occurrence and run.occurrence.id in occurrence_ids]


@plans(
    "nothing_is_asked_of_no_occurrences",
)
class TakesNothingForAll(MemoryPlans):
    def reserved(self, occurrence_ids):
        with self._transaction() as open_:
            return super().reserved(occurrence_ids or [run.occurrence.id for run in open_.live() if run.occurrence])
