"""procrastinate: save a row and defer one task in the same transaction; then a worker in this process does them all."""

from project import start
from stopwatch import measure


def declare():
    from procrastinate.contrib.django import app
    from shop.models import Handled

    @app.task
    def handle(order_id):
        Handled.objects.create(order_id=order_id)

    return handle


def worker_of(handle):
    from django.db import transaction
    from procrastinate.contrib.django import app
    from shop.models import Handled, Order

    def work(count: int) -> int:
        before = Handled.objects.count()
        for number in range(count):
            with transaction.atomic():
                handle.defer(order_id=Order.objects.create(number=number).pk)
        with app.replace_connector(app.connector.get_worker_connector()) as worker:
            worker.run_worker(wait=False, install_signal_handlers=False, listen_notify=False)
        return Handled.objects.count() - before

    return work


if __name__ == "__main__":
    start("procrastinate", "procrastinate.contrib.django", "shop")
    measure(worker_of(declare()))
