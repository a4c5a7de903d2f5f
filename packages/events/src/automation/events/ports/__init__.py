"""What events need from outside, and where adapters plug in. Nothing here imports Django."""

from automation.events.ports.clock import Clock, SystemClock
from automation.events.ports.dispatcher import Dispatcher, Gathering
from automation.events.ports.processor import Health, Processor
from automation.events.ports.subscriber import Deriving, Eraser, Fingerprinted, Occurrence, Subscriber
from automation.events.ports.wiring import Wiring, wiring

__all__ = [
    "Clock",
    "Deriving",
    "Dispatcher",
    "Eraser",
    "Fingerprinted",
    "Gathering",
    "Health",
    "Occurrence",
    "Processor",
    "Subscriber",
    "SystemClock",
    "Wiring",
    "wiring",
]
