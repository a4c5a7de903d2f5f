"""What the bridge makes of an event."""

from datetime import UTC, datetime
from uuid import UUID

from automation.bridge.payload import translated
from automation.events.ports import Occurrence as Announced
from automation.workflows.ports import EntityRef

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)


def announced(**fields) -> Announced:
    given = {
        "event_id": UUID(int=7),
        "event_name": "arrival_due",
        "entity_type": "hotel.stay",
        "entity_id": "3",
        "at": AT,
        "generation": 2,
        **fields,
    }
    return Announced(**given)


def test_an_occurrence_is_translated_field_by_field():
    occurrence = translated(announced(about=(("hotel.guest", "9"),)))

    assert occurrence.id == str(UUID(int=7))
    assert (occurrence.name, occurrence.at, occurrence.generation) == ("arrival_due", AT, 2)
    assert occurrence.entity == EntityRef(type="hotel.stay", id="3")
    assert occurrence.about == (EntityRef(type="hotel.guest", id="9"),)


def test_an_immediate_event_is_dated_by_its_occurrence():
    occurrence = translated(announced(at=None, occurred_at=AT))

    assert occurrence.at == AT
    assert occurrence.payload["event_at"] == AT.isoformat()


def test_an_immediate_event_that_has_not_occurred_has_no_date():
    assert translated(announced(at=None)).payload["event_at"] is None


def test_nothing_in_the_definitions_payload_replaces_the_bridges_keys():
    payload = translated(announced(payload={"entity_id": "forged", "name": "Ada"})).payload

    assert (payload["entity_id"], payload["name"]) == ("3", "Ada")
