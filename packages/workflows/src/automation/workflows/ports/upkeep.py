"""What keeps a storage tidy over the years: called daily, or by order of a person."""

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Upkeep"]


class Upkeep(Protocol):
    """Looks after what is stored. The Django shell plugs one in; a storage that forgets by itself needs none."""

    def clean_up(self) -> Mapping[str, int]:
        """Delete what has been kept long enough, in batches; give how much, by kind. Brings nothing back to life."""
        ...

    def erase(self, entity_type: str, entity_id: str) -> int:
        """Empty Contexts, payloads and error texts about one entity (`app_label.model`, `str(pk)`); give the rows."""
        ...
