"""How a project tests its automations: `pip install automation-testing`, then `manage.py test`."""

from datetime import timedelta

from django.test import TestCase

from automation.testing import AutomationTestMixin
from bookings.automations.checkout import CheckoutOps
from bookings.automations.single_step import send_welcome_email
from bookings.automations.workflows import PreArrivalReminder
from bookings.models import GuestDocument, Message, Reservation


class Stays(AutomationTestMixin, TestCase):
    """A guest who has confirmed."""

    def setUp(self):
        super().setUp()
        now = self.automation.clock.now()
        self.stay = self.automation.save(
            Reservation(guest="Ada", checkin_at=now + timedelta(days=2), checkout_at=now + timedelta(days=5)),
            status="confirmed",
        )

    def sent(self):
        return list(Message.objects.order_by("pk").values_list("kind", flat=True))


class TestArrival(Stays):
    def test_the_guest_is_welcomed_and_reminded_before_the_check_in(self):
        self.automation.assert_called(send_welcome_email, about=self.stay)

        self.automation.advance_to(self.stay.checkin_at - timedelta(seconds=5))

        self.automation.assert_completed(PreArrivalReminder, reservation_id=self.stay.pk)
        assert self.sent() == ["welcome", "reminder"]

    def test_the_reminder_follows_the_date_and_is_called_off_with_the_stay(self):
        self.automation.save(self.stay, checkin_at=self.stay.checkin_at + timedelta(days=1))
        self.automation.assert_waiting(PreArrivalReminder, until=self.stay.checkin_at - timedelta(seconds=5))

        self.automation.delete(self.stay)
        self.automation.assert_cancelled(PreArrivalReminder)


class TestCheckout(Stays):
    def setUp(self):
        super().setUp()
        self.automation.advance_to(self.stay.checkout_at - timedelta(seconds=9))

    def test_papers_that_come_are_used(self):
        self.automation.assert_waiting(CheckoutOps, for_event="guest_docs_uploaded")

        self.automation.save(GuestDocument(reservation=self.stay, file_name="passport.pdf"))

        with self.retries_logged():
            self.automation.run_to_end(CheckoutOps)
        self.automation.assert_completed(CheckoutOps, docs_ready=True, used_default_docs=False)

    def test_papers_that_do_not_come_are_replaced_after_three_seconds(self):
        self.automation.advance(seconds=3)

        self.automation.assert_waiting(CheckoutOps, at="let_guest_pack", used_default_docs=True)

    def test_the_papers_of_another_guest_are_not_waited_for(self):
        other = self.automation.save(
            Reservation(guest="Ben", checkin_at=self.stay.checkin_at, checkout_at=self.stay.checkout_at)
        )
        self.automation.save(GuestDocument(reservation=other, file_name="passport.pdf"))

        self.automation.assert_waiting(CheckoutOps, about=self.stay, at="await_docs")

    def test_housekeeping_is_told_once_although_it_answers_at_the_second_try(self):
        with self.retries_logged():
            self.automation.run_to_end(CheckoutOps)

        self.automation.assert_completed(CheckoutOps, attempts=2)
        assert self.sent().count("housekeeping") == 1

    def test_housekeeping_is_told_once_whenever_a_worker_dies(self):
        def story():
            self.automation.run_to_end(CheckoutOps)
            return self.sent()

        with self.retries_logged():
            self.automation.at_every_crash_point(story)

    def retries_logged(self):
        """A retry is logged as a warning. Who expects it says so, and the output of the tests stays readable."""
        return self.assertLogs("automation.workflows", "WARNING")
