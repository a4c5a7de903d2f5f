"""How long one task may take: q2 ends a task that takes longer than its timeout, in the middle of whatever it does."""

import time

from django_q.conf import Conf

__all__ = ["Budget"]

SHARE = 0.4
"""Of q2's timeout: what has begun when the budget is spent still has more time than that to end."""
WITHOUT_TIMEOUT_SECONDS = 50.0


class Budget:
    """The time of one sweep, from its making on."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SHARE * (Conf.TIMEOUT or WITHOUT_TIMEOUT_SECONDS)
        self.was_spent = False
        """Somebody asked and was told to stop: there may be more to do."""

    def is_spent(self) -> bool:
        """Return whether to stop."""
        self.was_spent = self.was_spent or time.monotonic() >= self._end
        return self.was_spent
