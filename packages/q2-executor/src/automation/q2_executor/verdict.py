"""What the doctor says: findings, how bad each is, and the exit code that follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

__all__ = ["Examination", "ExitCode", "Finding", "Level"]


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and would work better otherwise, or somebody should look when there is time."""
    PROBLEM = "problem"
    """Something is owed and is not being done, until a person acts."""
    UNKNOWN = "unknown"
    """It could not be looked at."""
    STOPPED = "stopped"
    """No cluster is working: the last sweep is too long ago. A restart is the remedy."""


class ExitCode(IntEnum):
    """What monitoring sees."""

    HEALTHY = 0
    PROBLEM = 1
    """A person should look."""
    UNKNOWN = 3
    """The doctor could not look everywhere, for example because a database does not answer."""
    STOPPED = 4
    """The cluster does not work: restart it. Not 2, with which Python ends when it has not even found `manage.py`."""


_EXIT_CODES: Mapping[Level, ExitCode] = {
    Level.STOPPED: ExitCode.STOPPED,
    Level.PROBLEM: ExitCode.PROBLEM,
    Level.UNKNOWN: ExitCode.UNKNOWN,
}
"""The worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    about: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that was looked at, and what follows."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The worst that was found; what was found counts more than what could not be. Warnings alone are healthy."""
        levels = {finding.level for finding in self.findings}
        worst = (level for level in _EXIT_CODES if level in levels)
        return _EXIT_CODES.get(next(worst, Level.OK), ExitCode.HEALTHY)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "healthy": self.exit_code is ExitCode.HEALTHY,
            "exit_code": int(self.exit_code),
            "findings": [
                {"level": str(each.level), "about": each.about, "message": each.message, "remedy": each.remedy}
                for each in self.findings
            ],
        }
