"""Test automations in milliseconds: a fake clock, a deterministic executor, a harness and contract suites."""

from automation.testing.case import AutomationTestMixin
from automation.testing.clock import FakeClock
from automation.testing.crashes import UnsafeStepError
from automation.testing.executor import FakeExecutor
from automation.testing.faults import Faults, WorkerDied
from automation.testing.harness import Harness
from automation.testing.loops import NeverIdleError
from automation.testing.messages import Kind, Message

__all__ = [
    "AutomationTestMixin",
    "FakeClock",
    "FakeExecutor",
    "Faults",
    "Harness",
    "Kind",
    "Message",
    "NeverIdleError",
    "UnsafeStepError",
    "WorkerDied",
]
