"""One attribute of something, replaced for a while."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["hushed", "swapped"]


@contextmanager
def swapped(target: Any, name: str, value: Any) -> Iterator[None]:
    """Let `target.name` be `value` inside the block; the value may be None, and the old one is always put back."""
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


@contextmanager
def hushed() -> Iterator[None]:
    """Let our packages log nothing inside the block: a death that a test ordered is nobody's warning."""
    with ExitStack() as stack:
        for package in ("automation.events", "automation.workflows"):
            stack.enter_context(swapped(logging.getLogger(package), "disabled", True))
        yield
