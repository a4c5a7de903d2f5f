"""The Harness for `unittest`."""

from typing import TYPE_CHECKING, Any, ClassVar

from automation.testing.harness import Harness

if TYPE_CHECKING:
    from unittest import TestCase

    _Base = TestCase
else:
    _Base = object

__all__ = ["AutomationTestMixin"]


class AutomationTestMixin(_Base):
    """Gives every test of a `TestCase` or `TransactionTestCase` a fresh Harness as `self.automation`.

    Write it before the test case: `class TestCheckout(AutomationTestMixin, TestCase)`.
    """

    automation: Harness
    automation_options: ClassVar[dict[str, Any]] = {}
    """Arguments for each test's Harness: `{"at": "2030-03-31 01:30", "inline": True}`."""

    def setUp(self) -> None:
        """Enter the Harness; unittest leaves it after the test's own `tearDown`."""
        self.automation = self.enterContext(Harness(**self.automation_options))
        super().setUp()
