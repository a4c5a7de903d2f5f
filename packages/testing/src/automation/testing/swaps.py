"""One attribute of something, replaced for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["swapped"]


@contextmanager
def swapped(target: Any, name: str, value: Any) -> Iterator[None]:
    """Let `target.name` be `value` inside the block; the value may be None, and the old one is always put back."""
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)
