"""Keys made in Python: known before any INSERT, ordered by time, never used to derive an order."""

import json
import os
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel

__all__ = ["arguments_digest", "event_signal_id", "keyed_run_id", "time_ordered_id"]

_RUNS = uuid5(NAMESPACE_URL, "automation-workflows:run-key")
_EVENTS = uuid5(NAMESPACE_URL, "automation-workflows:event-signal")

_PLAIN = (str, bytes, int, float, bool, type(None), date, time, timedelta, UUID, Decimal, Enum)
"""Types of which equal values look alike in every process."""


def time_ordered_id(now: datetime) -> UUID:
    """Return a UUID of version 7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    milliseconds = int(now.timestamp() * 1000) & (2**48 - 1)
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def keyed_run_id(workflow_name: str, run_key: str) -> UUID:
    """Return the id of the run with this key: the same for every caller, so that they need not meet."""
    return uuid5(_RUNS, f"{len(workflow_name)}:{workflow_name}:{run_key}")


def arguments_digest(arguments: Mapping[str, Any]) -> str:
    """Return a digest that is the same for equal arguments in every process: 64 hexadecimal digits.

    Objects that cannot be compared from process to process count by their type alone: they are never a difference.
    """
    return sha256(json.dumps(_comparable(arguments)).encode()).hexdigest()


def _comparable(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, BaseModel):
        return _comparable(dict(value))
    if isinstance(value, Mapping):
        return sorted([repr(key), _comparable(item)] for key, item in value.items())
    if isinstance(value, Set):
        return sorted(json.dumps(_comparable(item)) for item in value)
    if isinstance(value, Sequence):
        return [_comparable(item) for item in value]
    key = getattr(value, "pk", None)
    return [type(value).__qualname__, repr(key) if isinstance(key, _PLAIN) else ""]


def event_signal_id(occurrence_id: str, generation: int) -> UUID:
    """Return the id of the signal that an occurrence sends: announced twice, it is stored once."""
    return uuid5(_EVENTS, f"{generation}:{occurrence_id}")
