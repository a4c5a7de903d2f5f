"""The Upkeep port on Django's tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from automation.workflows.conf import database_alias
from automation.workflows.erasure import erase_entity
from automation.workflows.health import health
from automation.workflows.ports import Health
from automation.workflows.retention import cleanup
from automation.workflows.retriggering import retrigger, withdraw_untriggered

__all__ = ["DjangoUpkeep"]


class DjangoUpkeep:
    """Looks after the tables: see the port for what is promised."""

    def clean_up(self) -> Mapping[str, int]:
        """Delete what the settings say has been kept long enough."""
        return cleanup()

    def health(self, before: datetime) -> Health:
        """Count what is wrong."""
        return health(before, using=database_alias())

    def erase(self, entity_type: str, entity_id: str) -> int:
        """Empty what is stored about an entity."""
        return erase_entity(entity_type, entity_id)

    def retrigger(self, occurrence_ids: Sequence[str] | None) -> Sequence[str]:
        """Let reserved starts follow the triggers in the code."""
        return retrigger(occurrence_ids, using=database_alias())

    def withdraw_untriggered(self, *, dry_run: bool) -> int:
        """Cancel what no trigger in the code would reserve."""
        return withdraw_untriggered(using=database_alias(), dry_run=dry_run)
