"""Clean-ups that delete what is needed, or nothing."""

from tests.broken.storages.intact import BROKEN, Intact
from tests.broken.telling import breaks

__all__ = ["Tidying"]


class Tidying(Intact):
    """Deletes signals that were delivered, and what `goes_too` says."""

    def goes_too(self, storage, signal):
        return False

    def clean_up(self, storage, now):
        tables = storage._tables
        for signal in list(tables.signals.values()):
            is_over = signal.id not in tables.undelivered
            run = tables.runs.get(signal.run_id)
            is_needed = run is not None and not run.status.is_terminal
            if (is_over and not is_needed) or self.goes_too(storage, signal):
                tables.signals.pop(signal.id)
                tables.undelivered.pop(signal.id, None)
                tables._placed[signal.name] = [
                    each for each in tables._placed.get(signal.name, []) if each[1] != signal.id
                ]
        return True


@breaks(
    BROKEN,
    "what_is_undelivered_is_kept",
)
class CleansUpWhatIsUndelivered(Tidying):
    def goes_too(self, storage, signal):
        return signal.id in storage._tables.undelivered


@breaks(
    BROKEN,
    "what_is_addressed_to_a_run_that_lives_is_kept",
)
class CleansUpWhatARunMayStillNeed(Tidying):
    def goes_too(self, storage, signal):
        return signal.run_id is not None


@breaks(
    BROKEN,
    "what_is_addressed_to_a_run_that_lives_is_kept",
    "what_is_undelivered_is_kept",
)
class CleansUpNothing(Intact):
    def clean_up(self, storage, now):
        return True
