"""What keeps a storage tidy over the years: called daily, or by order of a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

__all__ = ["Health", "Upkeep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong, in numbers. Each is counted up to a thousand: enough to know, cheap however wrong it is."""

    overdue: int = 0
    """Runs that somebody should have looked at, and that no worker holds."""
    lost: int = 0
    """Runs whose worker never came back, and that nobody has rescued."""
    undelivered: int = 0
    """Signals whose delivery is not finished."""
    failed: int = 0
    """FAILED runs; `retry` lets them try again."""
    parked: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Runs that are PAUSED for want of their code, by name of the workflow and the reason (`missing`, `context`)."""


class Upkeep(Protocol):
    """Looks after what is stored. The Django shell plugs one in; a storage that forgets by itself needs none."""

    def clean_up(self) -> Mapping[str, int]:
        """Delete what has been kept long enough, in batches; return how much, by kind. Brings nothing back to life."""
        ...

    def health(self, before: datetime) -> Health:
        """Count what is owed since before this time (aware UTC), what has failed and what is parked."""
        ...

    def erase(self, entity_type: str, entity_id: str) -> int:
        """Empty Contexts, payloads and error texts about one entity (`app_label.model`, `str(pk)`); return the rows."""
        ...

    def retrigger(self, occurrence_ids: Sequence[str] | None) -> Sequence[str]:
        """Let the starts reserved for these occurrences (None: for all) be as the triggers in the code reserve them.

        Offset, version and step follow the code; return the occurrences of those that changed. What has begun is left.
        """
        ...

    def withdraw_untriggered(self, *, dry_run: bool) -> int:
        """Cancel the reserved starts that no trigger in the code would reserve, in batches; return how many."""
        ...
