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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse the order of bases in which the test case's own setUp hides this one."""
        super().__init_subclass__(**kwargs)
        bases = [base.__name__ for base in cls.__mro__]
        if "TestCase" in bases[: bases.index("AutomationTestMixin")]:
            raise TypeError(
                f"Write the mixin before the test case: class {cls.__name__}(AutomationTestMixin, TestCase). "
                "In the other order it is never set up."
            )

    def setUp(self) -> None:
        """Enter the Harness; unittest leaves it after the test's own `tearDown`."""
        around = {"clock": self._automation_clock} if hasattr(self, "_automation_clock") else {}
        self.automation = self.enterContext(Harness(**{**around, **self.automation_options}))
        super().setUp()

    def __getattr__(self, name: str) -> Any:
        if name == "automation":
            raise AttributeError("There is no self.automation yet. A setUp of your own calls super().setUp() first.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
