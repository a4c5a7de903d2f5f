"""What a queue may do to its messages, decided by a seed, and the death of a worker."""

from dataclasses import dataclass
from datetime import timedelta

from automation.testing.lengths import check_length

__all__ = ["Faults", "WorkerDied"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How badly a FakeExecutor behaves. Every rate is a chance between 0 and 1, drawn for each message.

    The same seed on the same test gives the same misbehaviour.
    """

    seed: int = 0
    duplicate: float = 0.0
    """The message arrives twice."""
    drop: float = 0.0
    """The message never arrives; only a sweep finds what it was about."""
    delay: float = 0.0
    """The message arrives late, by up to `longest_delay`."""
    longest_delay: timedelta = timedelta(minutes=5)
    reorder: bool = False
    """Of the messages that are due, any may be next."""

    def __post_init__(self) -> None:
        check_length(self.longest_delay, "longest_delay=")
        for name in ("duplicate", "drop", "delay"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise ValueError(f"Faults({name}={rate!r}): a rate is a chance between 0 and 1.")


class WorkerDied(BaseException):
    """The worker was killed here: nothing after this point ran, as with `kill -9`.

    It is no Exception, so that no ordinary handler of the code under test takes it for an error and carries on.
    """

    is_simulated_crash = True
    """Tells the engine that this is no exception of user code, to be recorded and retried."""
