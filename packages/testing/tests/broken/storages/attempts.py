"""Histories that tell what did not happen, or nothing."""

from automation.workflows.errors import StaleRun
from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import BROKEN, Intact, storage
from tests.broken.telling import breaks


@storage(
    "a_stale_move_leaves_no_attempt",
)
class KeepsAttemptsOfStaleMoves(MemoryStorage):
    def apply(self, transitions):
        try:
            super().apply(transitions)
        except StaleRun:
            self._tables.attempts.update(
                {move.before.id: [move.attempt] for move in transitions if move.attempt and not move.consumed}
            )
            raise


@storage(
    "what_a_run_consumes_again_leaves_no_attempt",
)
class KeepsAttemptsOfWhatWasConsumed(MemoryStorage):
    def apply(self, transitions):
        for move in transitions:
            if move.attempt is not None and move.consumed is not None:
                self._tables.attempts.setdefault(move.before.id, []).append(move.attempt)
        super().apply(transitions)


@breaks(
    BROKEN,
    "attempts_are_history",
)
class WithoutHistory(Intact):
    def attempts_of(self, storage, run_id):
        return []
