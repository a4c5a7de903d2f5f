"""What the bridge makes of an event: an occurrence as the engine knows it, with the payload that waiting runs get."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from automation.bridge.kinds import other_names
from automation.events.ports import Occurrence as Announced
from automation.workflows.ports import EntityRef, Occurrence

__all__ = ["payload_of", "translated"]


def translated(announced: Announced) -> Occurrence:
    """Return an occurrence of events as an occurrence of workflows. An immediate one is dated by when it occurred.

    It is about all the names of its rows, so that it finds the runs about a multi-table child or parent of them.
    """
    at = announced.at or announced.occurred_at
    entity = EntityRef(type=announced.entity_type, id=announced.entity_id)
    about = tuple(EntityRef(type=kind, id=key) for kind, key in announced.about)
    return Occurrence(
        id=str(announced.event_id),
        name=announced.event_name,
        entity=entity,
        at=at,
        generation=announced.generation,
        payload=payload_of(announced, at),
        about=(*about, *other_names((entity, *about))),
    )


def payload_of(announced: Announced, at: datetime | None) -> Mapping[str, Any]:
    """Return the definition's own payload with the five keys of the bridge, which nothing in it can replace."""
    return {
        **(announced.payload or {}),
        "event_id": str(announced.event_id),
        "event_name": announced.event_name,
        "entity_id": announced.entity_id,
        "entity_type": announced.entity_type,
        "event_at": None if at is None else at.isoformat(),
    }
