"""A workflow in a plain script: no Django, no queue, no database. Run it with `python order.py`.

It needs `pip install automation-workflows` and nothing else. What it keeps, it keeps in memory.
"""

import time
from datetime import timedelta

from pydantic import BaseModel

from automation.workflows.core import Retry, complete, engine, fail, get_context, goto, sleep, step, wait, workflow
from automation.workflows.memory import MemoryStorage


@workflow("order")
class Order:
    """Wait for the payment, let it cool down, ship at the second try."""

    class Context(BaseModel):
        number: int
        paid: bool = False
        tries: int = 0

    @step(start=True)
    def await_payment(self):
        if get_context().paid:
            return goto(self.cool_down)
        return wait("payment:received", timeout=timedelta(seconds=0.2), on_timeout=self.give_up)

    @step()
    def cool_down(self):
        return sleep(timedelta(seconds=0.1), then=self.ship)

    @step(retry=Retry(max_attempts=3, base_delay=timedelta(seconds=0.1)))
    def ship(self):
        context = get_context()
        context.tries += 1
        if context.tries < 2:
            raise ConnectionError("the carrier does not answer")
        return complete()

    @step()
    def give_up(self):
        return fail("The payment never came.")


def work_until_done(storage, *run_ids):
    """Do what an executor does elsewhere: look now and then whether something is due."""
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        runs = [storage.load(run_id) for run_id in run_ids]
        if all(run.status.is_terminal for run in runs):
            return runs
        engine.process_scheduled()
        time.sleep(0.02)
    raise TimeoutError(f"Not done after 10 seconds: {runs}")


def main():
    storage = MemoryStorage()
    engine.bind(storage=storage)
    paid = engine.start("order", number=1)
    unpaid = engine.start("order", number=2)
    engine.signal("payment:received", {"paid": True}, run_id=paid.id)
    for run in work_until_done(storage, paid.id, unpaid.id):
        tries = run.data["tries"]
        print(f"Order {run.data['number']}: {run.status} after {tries} tries to ship. {run.error}".strip())


if __name__ == "__main__":
    main()
