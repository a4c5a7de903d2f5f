"""How long a failed delivery waits before its next try."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter and a limit."""

    max_attempts: int = 8
    """Tries in all, the first included. With the defaults the last comes about 42 minutes after the first."""
    base_delay: timedelta = timedelta(seconds=20)
    backoff_factor: float = 2.0
    max_delay: timedelta = timedelta(hours=1)
    jitter: float = 0.1
    """The share of the delay that is added at random, so that what failed together is not tried together."""

    def exhausted(self, attempts: int) -> bool:
        """Return whether no try is left after `attempts`."""
        return attempts >= self.max_attempts

    def delay(self, attempts: int, random: Callable[[], float]) -> timedelta:
        """Return the wait after the try number `attempts` (from 1); `random` gives a float in [0, 1).

        >>> RetryPolicy(jitter=0).delay(3, lambda: 0.0)
        datetime.timedelta(seconds=80)
        """
        # 2.0 ** 1100 overflows a float; beyond 64 doublings every delay is the maximum anyway.
        grown = self.base_delay.total_seconds() * self.backoff_factor ** min(max(attempts, 1) - 1, 64)
        waited = min(grown, self.max_delay.total_seconds())
        return timedelta(seconds=waited * (1 + self.jitter * random()))
