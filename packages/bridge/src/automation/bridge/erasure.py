"""What `automation_erase` erases besides events: the Contexts, payloads and errors of runs about the same entity."""

from automation.workflows.ports import wiring

__all__ = ["erase"]


def erase(entity_type: str, entity_id: str) -> int:
    """Empty what runs and signals hold about an entity; return the number of rows. Zero without upkeep."""
    return 0 if wiring.upkeep is None else wiring.upkeep.erase(entity_type, entity_id)
