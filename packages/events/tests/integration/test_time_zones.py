"""Instants, whatever the project's settings say about time zones."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from automation.events.models import Event
from automation.events.moments import to_instant
from automation.events.services import event_processor
from tests.hotel.models import Reservation


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(datetime(2030, 7, 1, 12), datetime(2030, 7, 1, 10, tzinfo=UTC), id="naive, summer in Amsterdam"),
        pytest.param(date(2030, 1, 1), datetime(2029, 12, 31, 23, tzinfo=UTC), id="a date is local midnight"),
        pytest.param(datetime(2030, 3, 31, 2, 30), datetime(2030, 3, 31, 1, 30, tzinfo=UTC), id="in the spring gap"),
        pytest.param(datetime(2030, 10, 27, 2, 30), datetime(2030, 10, 27, 0, 30, tzinfo=UTC), id="twice, the first"),
        pytest.param(
            datetime(2030, 10, 27, 2, 30, fold=1), datetime(2030, 10, 27, 1, 30, tzinfo=UTC), id="twice, the second"
        ),
        pytest.param(
            datetime.min.replace(tzinfo=timezone.get_fixed_timezone(600)),
            datetime.min.replace(tzinfo=UTC),
            id="before the first instant",
        ),
        pytest.param(
            datetime.max.replace(tzinfo=timezone.get_fixed_timezone(-600)),
            datetime.max.replace(tzinfo=UTC),
            id="beyond the last instant",
        ),
    ],
)
def test_to_instant(value, expected):
    assert to_instant(value) == expected


@pytest.mark.django_db(transaction=True)
def test_project_without_time_zones(settings, clock):
    settings.USE_TZ = False
    at = datetime(2030, 1, 1, 14)  # local time; the clock says 13:00 in Amsterdam
    reservation = Reservation.objects.create(status="confirmed", checkin_at=at)
    event = Event.objects.for_entity(reservation).get(event_name="checkin_due")
    assert event.at == clock.now() + timedelta(hours=1)
    assert event_processor.process_due_events()["events_processed"] == 0
    clock.advance(hours=1)
    assert event_processor.process_due_events()["events_processed"] == 1
    reservation.save()
    event.refresh_from_db()
    assert event.occurred_at == clock.now()
