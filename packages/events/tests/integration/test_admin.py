"""The admin: history to read, failed deliveries to run again."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User

from automation.events.callbacks import on_event
from automation.events.models import DeliveryStatus, Event, EventDelivery
from tests.hotel.models import Faulty, Reservation

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def failed(settings):
    settings.AUTOMATION_EVENTS = {"RETRY_ATTEMPTS": 1}

    def fail(event):
        raise ValueError(CANARY)

    on_event("reservation_confirmed", name=CANARY)(fail)
    Reservation.objects.create(status="confirmed")
    return EventDelivery.objects.get()


@pytest.fixture
def staff(client):
    def log_in(*permissions):
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return log_in


def rerun(client, delivery):
    return client.post(
        "/admin/automation_events/eventdelivery/",
        {"action": "run_again", "_selected_action": [str(delivery.pk)]},
        follow=True,
    )


def test_failed_delivery_is_run_again_by_who_may(staff, failed):
    client = staff("view_eventdelivery", "retry_eventdelivery")
    page = rerun(client, failed)
    failed.refresh_from_db()
    assert "1 delivery will be run again." in page.content.decode()
    assert (failed.status, failed.attempts) == (DeliveryStatus.PENDING, 0)
    assert LogEntry.objects.get().change_message == "Run again"


def test_failed_delivery_is_not_run_again_by_who_may_only_look(staff, failed):
    rerun(staff("view_eventdelivery"), failed)
    failed.refresh_from_db()
    assert failed.status == DeliveryStatus.FAILED


def test_pages_show_and_change_nothing(admin_client, failed):
    event = Event.objects.get(event_name="reservation_confirmed")
    pages = [
        "/admin/automation_events/event/",
        "/admin/automation_events/event/?status=occurred",
        f"/admin/automation_events/event/{event.pk}/change/",
        "/admin/automation_events/eventdelivery/?status=failed",
        f"/admin/automation_events/eventdelivery/{failed.pk}/change/",
    ]
    for page in pages:
        content = admin_client.get(page).content.decode()
        assert CANARY not in content, "names and errors are shown, never run"
    assert "&lt;img" in content
    for page in ("event/add/", f"event/{event.pk}/delete/"):
        assert admin_client.get(f"/admin/automation_events/{page}").status_code == 403
    before = Event.objects.get(pk=event.pk).revision
    admin_client.post(f"/admin/automation_events/event/{event.pk}/change/", {"status": "pending"})
    assert Event.objects.get(pk=event.pk).revision == before


def test_list_pages_run_no_condition(admin_client, monkeypatch):
    Faulty.objects.create(mood="fine")

    def explode(self):
        raise AssertionError("a list page asked for the entity")

    monkeypatch.setattr(Event, "entity", property(explode))
    assert admin_client.get("/admin/automation_events/event/").status_code == 200
    assert admin_client.get("/admin/automation_events/eventdelivery/").status_code == 200
