"""What may go wrong, and how often. Each seed draws which classes are on, and their rates: uniform mixes hide bugs."""

from dataclasses import dataclass
from random import Random

__all__ = ["CommitUnknown", "Crash", "DatabaseDown", "Faults"]


class Crash(BaseException):
    """The worker is killed here; what it had not committed is gone."""

    is_simulated_crash = True


class DatabaseDown(Exception):
    """The database refused a statement or a commit: nothing of the transaction was stored."""


class CommitUnknown(Exception):
    """The connection broke while waiting for the answer of a COMMIT that was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Rates per point, message or choice."""

    crash: float = 0.0
    database: float = 0.0
    """A statement or a commit is refused."""
    unknown: float = 0.0
    """A commit is done and its answer lost."""
    drop: float = 0.0
    duplicate: float = 0.0
    jump: float = 0.0
    """The clock goes beyond every claim, under workers that are alive."""
    skew: float = 0.0
    """Seconds by which workers' clocks may be off, both ways."""
    meddling: float = 0.0
    """People cancel, pause, resume and retry."""
    absence: float = 0.0
    """Code is deployed that lacks a workflow or a step; later the whole code again."""

    @classmethod
    def swarm(cls, random: Random) -> "Faults":
        """Draw which classes are on, and how strong."""

        def rate(strongest: float) -> float:
            return random.choice((0.0, strongest / 4, strongest))

        return cls(
            crash=rate(0.02),
            database=rate(0.02),
            unknown=rate(0.1),
            drop=rate(0.3),
            duplicate=rate(0.3),
            jump=rate(0.05),
            skew=rate(2.0),
            meddling=rate(0.05),
            absence=rate(0.02),
        )
