"""The guide's section 4, tested by somebody who read the docs this morning."""

from datetime import timedelta

import pytest

from tests.guide.bookings.automations.advanced import CheckoutOpsWF
from tests.guide.bookings.models import Stay

pytestmark = pytest.mark.django_db


@pytest.fixture
def stay(automation):
    stay = automation.save(Stay(checkout_at=automation.clock.now() + timedelta(days=3)))
    automation.advance_to(stay.checkout_at - timedelta(hours=2))
    return stay


def test_it_waits_for_the_documents_of_the_guest(automation, stay):
    automation.assert_waiting(CheckoutOpsWF, for_event="guest_docs_uploaded", reservation_id=stay.pk)


def test_documents_that_come_are_used(automation, stay):
    automation.save(stay, docs_uploaded=True)
    automation.advance(seconds=1)
    automation.assert_completed(CheckoutOpsWF, docs_ready=True, final_state="ok")


def test_without_them_it_goes_on_after_90_minutes(automation, stay):
    automation.advance(minutes=91)
    automation.assert_completed(CheckoutOpsWF, docs_ready=False, final_state="ok")


def test_housekeeping_is_told_at_the_second_attempt(automation, stay):
    automation.run_to_end(CheckoutOpsWF)
    automation.assert_completed(CheckoutOpsWF, attempts=2, notified=True)
