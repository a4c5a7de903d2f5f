"""automation-events: save a row, and have one callback called exactly once, in its own transaction."""

from project import start
from stopwatch import measure


def declare() -> None:
    from shop.models import Handled

    from automation.events.callbacks import on_event

    @on_event("ordered")
    def handle(event):
        Handled.objects.create(order_id=event.entity.pk)


def work(count: int) -> int:
    from shop.models import Handled, Order

    before = Handled.objects.count()
    for number in range(count):
        Order.objects.create(number=number)
    return Handled.objects.count() - before


if __name__ == "__main__":
    start("events", "automation.events", "shop")
    declare()
    measure(work)
