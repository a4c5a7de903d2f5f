"""What the library does when something happens to a loan. Found by itself: it is called `automations`."""

from datetime import timedelta

from automation.events.callbacks import on_event, on_event_cancelled
from automation.events.models import Event
from library.models import Letter


@on_event("loan_due", offset=timedelta(seconds=-2))
def remind(event: Event) -> None:
    write(event, f"{event.entity.book} is due in a moment")


@on_event("loan_due")
def demand(event: Event) -> None:
    # The payload is what the definition gave when the event occurred.
    write(event, f"{event.payload['book']} is due now")


@on_event("loan_returned")
def thank(event: Event) -> None:
    write(event, f"thank you for {event.entity.book}")


@on_event_cancelled("loan_due", atomic=False)
def forget(event: Event) -> None:
    # The loan is deleted; the event still knows what it was like.
    print(f"nothing more to demand: {event.entity}", flush=True)


def write(event: Event, text: str) -> None:
    """Write a letter: in the same transaction as the record that this callback was called, so exactly once."""
    Letter.objects.create(loan=event.entity, text=text)
    print(f"to {event.entity.reader}: {text}", flush=True)
