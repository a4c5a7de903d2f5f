"""The engine without Django: `engine.bind(storage=MemoryStorage())`."""

from automation.workflows.engine.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
