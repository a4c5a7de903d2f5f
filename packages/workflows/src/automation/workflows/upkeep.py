"""The Upkeep port on Django's tables."""

from collections.abc import Mapping

from automation.workflows.erasure import erase_entity
from automation.workflows.retention import cleanup

__all__ = ["DjangoUpkeep"]


class DjangoUpkeep:
    """Looks after the tables: see the port for what is promised."""

    def clean_up(self) -> Mapping[str, int]:
        """Delete what the settings say has been kept long enough."""
        return cleanup()

    def erase(self, entity_type: str, entity_id: str) -> int:
        """Empty what is stored about an entity."""
        return erase_entity(entity_type, entity_id)
