"""The engine of this process, on the adapters that `wiring` holds."""

from automation.workflows.engine.engine import Engine
from automation.workflows.ports.wiring import wiring

__all__ = ["engine"]

engine = Engine(wiring)
