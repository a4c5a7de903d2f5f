"""How long one task may take: q2 ends a task that takes longer than its timeout, in the middle of whatever it does."""

import time

from django_q.conf import Conf

__all__ = ["Budget"]

SHARE = 0.4
"""Of q2's timeout: what has begun when the budget is spent still has more time than that to end."""
NEGLIGIBLE = 0.05
"""Of q2's timeout: what has taken no longer than this leaves the task time for its own work."""
WITHOUT_TIMEOUT_SECONDS = 50.0


class Budget:
    """What a task may spend on sweeps, from the moment at which the task begins."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds = Conf.TIMEOUT or WITHOUT_TIMEOUT_SECONDS
        self.was_spent = False
        """Somebody asked and was told to stop: there may be more to do."""

    def is_spent(self) -> bool:
        """Return whether to stop."""
        self.was_spent = self.was_spent or self._has_taken(SHARE)
        return self.was_spent

    def is_worth_mentioning(self) -> bool:
        """Return whether so much is spent that other work needs a task, and a timeout, of its own."""
        return self._has_taken(NEGLIGIBLE)

    def _has_taken(self, share: float) -> bool:
        return time.monotonic() - self._began >= share * self._seconds
