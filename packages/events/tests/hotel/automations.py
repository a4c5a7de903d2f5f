"""What processes started by tests find; tests in this process clear the registry and register their own."""

from automation.events.callbacks import on_event
from tests.hotel.models import Ledger


@on_event("job_due", "hotel.job", name="job_first")
def first(event):
    Ledger.objects.create(entry=f"first {event.entity_id}")


@on_event("job_due", "hotel.job", name="job_second")
def second(event):
    Ledger.objects.create(entry=f"second {event.entity_id}")


@on_event("job_due", "hotel.job", name="job_third")
def third(event):
    Ledger.objects.create(entry=f"third {event.entity_id}")
