"""What the engine needs from outside, and where adapters plug in. Nothing here imports Django or pydantic."""

from automation.workflows.ports.clock import Clock, SystemClock
from automation.workflows.ports.executor import Executor, Worker
from automation.workflows.ports.mailbox import Mailbox
from automation.workflows.ports.occurrences import EventsAway, Occurrences, Snapshot
from automation.workflows.ports.plans import Plans
from automation.workflows.ports.policy import Policy
from automation.workflows.ports.storage import Storage
from automation.workflows.ports.upkeep import Health, Upkeep
from automation.workflows.ports.wiring import Wiring, wiring
from automation.workflows.runs.values import EntityRef, Occurrence

__all__ = [
    "Clock",
    "EntityRef",
    "EventsAway",
    "Executor",
    "Health",
    "Mailbox",
    "Occurrence",
    "Occurrences",
    "Plans",
    "Policy",
    "Snapshot",
    "Storage",
    "SystemClock",
    "Upkeep",
    "Wiring",
    "Worker",
    "wiring",
]
