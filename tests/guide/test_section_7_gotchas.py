"""Section 7: what the guide warns of, as it is now."""

from datetime import timedelta

import pytest
from django.utils import timezone

from automation.events.services import event_processor
from tests.guide.bookings.models import Reservation

pytestmark = pytest.mark.django_db


@pytest.fixture
def reservation(automation):
    return automation.save(Reservation(checkin_at=timezone.now() + timedelta(hours=5)))


def test_the_poller_leaves_an_immediate_event_alone_while_its_condition_is_false(automation, reservation):
    said = event_processor.process_due_events(lookback_hours=24)

    assert said["events_processed"] == 0
    automation.assert_pending(reservation, "reservation_confirmed")


def test_the_poller_tells_what_it_found_and_did(automation, reservation):
    Reservation.objects.filter(pk=reservation.pk).update(status="confirmed")
    automation.clock.jump(hours=5)

    said = event_processor.process_due_events(lookback_hours=24)

    assert said["due_events_found"] >= said["events_processed"] >= 1
    assert said["timestamp"]
    automation.assert_occurred(reservation, "checkin_due")
