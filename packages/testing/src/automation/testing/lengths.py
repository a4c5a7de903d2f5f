"""Lengths of time, as tests give them: what is none is refused, with what to write instead."""

from datetime import timedelta
from typing import Any

__all__ = ["check_length"]


def check_length(given: Any, word: str) -> None:
    """Raise TypeError unless this is a timedelta; `word` is what it was given as."""
    if not isinstance(given, timedelta):
        raise TypeError(f"{given!r} is no length of time. Write {word}timedelta(minutes=...).")
