"""Plans that ask the database once for each start."""

from contextlib import contextmanager

from automation.workflows.engine.memory.plans import MemoryPlans
from automation.workflows.memory import MemoryStorage
from tests.broken.storages.intact import BROKEN, Intact
from tests.broken.telling import breaks

__all__ = ["Counting"]


class Counting(Intact):
    """Says that each call of its plans is a statement."""

    def make_storage(self):
        made = MemoryStorage()
        self.sent = []
        made._plans = self.make_plans(made)
        return made

    def make_plans(self, made):
        return Counted(made, self.sent, together=True)

    @contextmanager
    def statements(self, storage):
        self.sent.clear()
        yield self.sent


class Counted(MemoryPlans):
    """Notes what it sends: all at once, or one by one."""

    def __init__(self, made, sent, *, together):
        super().__init__(made._join, made.insert)
        self._sent = sent
        self._together = together

    def _send(self, things):
        self._sent.extend(things[:1] if self._together else things)

    def reserve(self, runs):
        self._send(runs)
        super().reserve(runs)

    def move(self, occurrences, now):
        self._send(occurrences)
        super().move(occurrences, now)

    def withdraw(self, occurrence_ids, reason, now):
        self._send(occurrence_ids)
        super().withdraw(occurrence_ids, reason, now)

    def reserved(self, occurrence_ids):
        self._send(occurrence_ids)
        return super().reserved(occurrence_ids)


@breaks(
    BROKEN,
    "a_call_is_one_statement_whatever_the_number",
    "starts_are_reserved_by_one_statement",
)
class SendsOneByOne(Counting):
    def make_plans(self, made):
        return Counted(made, self.sent, together=False)
