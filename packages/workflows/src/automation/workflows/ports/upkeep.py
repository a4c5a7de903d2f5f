"""What keeps a storage tidy over the years: called daily, or by order of a person."""

from collections.abc import Mapping, Sequence
from typing import Protocol

__all__ = ["Upkeep"]


class Upkeep(Protocol):
    """Looks after what is stored. The Django shell plugs one in; a storage that forgets by itself needs none."""

    def clean_up(self) -> Mapping[str, int]:
        """Delete what has been kept long enough, in batches; return how much, by kind. Brings nothing back to life."""
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
