"""What section 2 of the guide mentions in one sentence: callbacks for events that are created or cancelled."""

from automation.events.callbacks import on_event, on_event_cancelled, on_event_created
from automation.events.models import Event

seen: list[tuple[str, str, object]] = []
"""(phase, event name, the entity as the callback found it). Emptied by a fixture before each test."""


@on_event_created("checkin_due", entity_type="bookings.reservation")
def note_created(event: Event) -> None:
    seen.append(("created", event.event_name, event.entity))


@on_event_cancelled("checkin_due", entity_type="reservation")
def note_cancelled(event: Event) -> None:
    seen.append(("cancelled", event.event_name, event.entity))


@on_event("checkin_due")
def note_checkin(event: Event) -> None:
    seen.append(("occurred", event.event_name, event.entity))
