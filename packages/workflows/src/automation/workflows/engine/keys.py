"""Keys made in Python: known before any INSERT, ordered by time, never used to derive an order."""

import os
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

__all__ = ["event_signal_id", "keyed_run_id", "time_ordered_id"]

_RUNS = uuid5(NAMESPACE_URL, "automation-workflows:run-key")
_EVENTS = uuid5(NAMESPACE_URL, "automation-workflows:event-signal")


def time_ordered_id(now: datetime) -> UUID:
    """Give a UUID of version 7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    milliseconds = int(now.timestamp() * 1000) & (2**48 - 1)
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def keyed_run_id(workflow_name: str, run_key: str) -> UUID:
    """Give the id of the run with this key: the same for every caller, so that they need not meet."""
    return uuid5(_RUNS, f"{len(workflow_name)}:{workflow_name}:{run_key}")


def event_signal_id(occurrence_id: str, generation: int) -> UUID:
    """Give the id of the signal that an occurrence sends: announced twice, it is stored once."""
    return uuid5(_EVENTS, f"{generation}:{occurrence_id}")
