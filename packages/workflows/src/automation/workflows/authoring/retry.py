"""How often, and how long after, a step that raised is tried again."""

from dataclasses import dataclass
from datetime import timedelta

from automation.workflows.authoring.durations import is_duration
from automation.workflows.errors import DefinitionError

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A policy, asked after each attempt that raised. It decides; the engine acts.

    >>> policy = Retry(max_attempts=4, base_delay=timedelta(seconds=2))
    >>> [policy.delay(failed).total_seconds() for failed in (1, 2, 3)]
    [2.0, 4.0, 8.0]
    """

    max_attempts: int = 3
    """The first try included; counted anew for each visit of a step."""
    base_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(minutes=5)
    """No delay is longer, jitter included."""
    backoff_factor: float = 2.0
    jitter: float = 0.0
    """Up to this share of the delay is added to it, so that a herd spreads; a delay is never shortened."""
    give_up_on: tuple[type[BaseException], ...] = ()
    """Exceptions that no further try can mend: the run fails at once."""
    keep_context: bool = True
    """Keep what a failed attempt did to the Context. False rolls it back together with the rows: then no id of a row
    that was rolled back stays behind."""

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int):
            raise DefinitionError(f"Retry(max_attempts={self.max_attempts!r}) is not a whole number. Use 1 or more.")
        for name, legal in (("backoff_factor", "1.0 or more"), ("jitter", "0.0 to 1.0")):
            if not isinstance(number := getattr(self, name), int | float):
                raise DefinitionError(f"Retry({name}={number!r}) is not a number. Use {legal}.")
        if self.max_attempts < 1:
            raise DefinitionError(f"Retry(max_attempts={self.max_attempts!r}) never runs the step. Use 1 or more.")
        for name in ("base_delay", "max_delay"):
            delay = getattr(self, name)
            if not is_duration(delay):
                raise DefinitionError(f"Retry({name}={delay!r}) is not a duration. Use timedelta(seconds=...).")
        if not self.backoff_factor >= 1:
            raise DefinitionError(f"Retry(backoff_factor={self.backoff_factor!r}) shortens delays. Use 1.0 or more.")
        if not 0 <= self.jitter <= 1:
            raise DefinitionError(f"Retry(jitter={self.jitter!r}) is outside 0.0 to 1.0, a share of the delay.")
        if isinstance(self.give_up_on, type):
            object.__setattr__(self, "give_up_on", (self.give_up_on,))
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in self.give_up_on):
            raise DefinitionError(f"Retry(give_up_on={self.give_up_on!r}) takes exception classes. Use (ValueError,).")

    def delay(self, failed: int, chance: float = 0.0) -> timedelta:
        """Return the time to wait after `failed` attempts; `chance` in [0, 1) places it within the jitter."""
        seconds = self.base_delay.total_seconds()
        longest = self.max_delay.total_seconds()
        for _ in range(failed - 1):
            seconds *= self.backoff_factor
            if seconds >= longest:
                break
        return timedelta(seconds=min(seconds * (1 + self.jitter * chance), longest))

    def gives_up(self, error: BaseException, failed: int) -> bool:
        """Return whether `error`, which ended attempt number `failed`, was the last one."""
        return failed >= self.max_attempts or isinstance(error, self.give_up_on)
