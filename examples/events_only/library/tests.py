"""How a project tests its events: `pip install automation-testing`, then `python manage.py test`."""

from datetime import timedelta

from django.test import TestCase

from automation.testing import AutomationTestMixin
from library.automations import demand, forget, remind, thank
from library.models import Loan


class TestLoans(AutomationTestMixin, TestCase):
    def setUp(self):
        super().setUp()
        self.due_at = self.automation.clock.now() + timedelta(days=28)
        self.loan = self.automation.save(Loan(reader="Ada", book="Emma", due_at=self.due_at))

    def letters(self):
        return list(self.loan.letters.order_by("pk").values_list("text", flat=True))

    def test_a_reminder_goes_out_before_the_demand(self):
        self.automation.advance_to(self.due_at - timedelta(seconds=2))
        assert self.letters() == ["Emma is due in a moment"]

        self.automation.advance_to(self.due_at)
        assert self.letters() == ["Emma is due in a moment", "Emma is due now"]

    def test_a_loan_that_is_prolonged_is_demanded_later(self):
        self.automation.save(self.loan, due_at=self.due_at + timedelta(days=28))

        self.automation.advance(days=55)
        self.automation.assert_not_called(remind)
        self.automation.advance(days=1)
        self.automation.assert_called(demand, about=self.loan)

    def test_a_book_that_came_back_is_thanked_for_and_not_demanded(self):
        self.automation.save(self.loan, returned=True)
        self.automation.advance(days=29)

        self.automation.assert_called(thank, about=self.loan)
        assert self.letters() == ["thank you for Emma"]

    def test_what_follows_from_a_deletion_can_be_seen_without_doing_it(self):
        with self.automation.recording() as caused:
            self.loan.delete()

        assert caused.calls(forget)

    def test_each_letter_is_written_once_whenever_a_process_dies(self):
        def story():
            self.automation.advance_to(self.due_at)
            return self.letters()

        self.automation.at_every_crash_point(story)
