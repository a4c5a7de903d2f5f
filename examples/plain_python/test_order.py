"""How a script tests its workflow, without Django: `pip install automation-testing pytest`, then `pytest`."""

import pytest
from order import Order

from automation.testing import Harness
from automation.workflows.memory import MemoryStorage


@pytest.fixture
def automation():
    with Harness(storage=MemoryStorage()) as automation:
        yield automation


def test_an_order_that_is_paid_ships_at_the_second_try(automation):
    run = automation.start(Order, number=1)
    automation.signal("payment:received", {"paid": True}, run_id=run.id)

    automation.run_to_end(run)

    automation.assert_completed(run, tries=2)


def test_nobody_pays(automation):
    run = automation.start(Order, number=1)
    automation.assert_waiting(run, for_signal="payment:received")

    automation.advance(seconds=0.2)

    automation.assert_failed(run, match="The payment never came", tries=0)


def test_it_ends_alike_whenever_a_worker_dies(automation):
    def story():
        run = automation.start(Order, number=1)
        automation.signal("payment:received", {"paid": True}, run_id=run.id)
        automation.run_to_end(run)

    automation.at_every_crash_point(story)
