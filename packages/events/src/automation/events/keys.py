"""The keys of rows: time-ordered UUIDs made here, and hashes that compare alike on every database."""

import hashlib
import secrets
import threading
from uuid import UUID

from automation.events.ports.wiring import wiring

__all__ = ["current_key", "delivery_key", "uuid7"]

_lock = threading.Lock()
_last = (0, 0)


def uuid7() -> UUID:
    """Return a version 7 UUID (RFC 9562): milliseconds, a counter within them, 62 random bits.

    Ids made by one process ascend. Nothing depends on that: order is never derived from ids of different processes.
    """
    milliseconds, counter = _tick(max(0, int(wiring.clock.now().timestamp() * 1000)))
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def _tick(milliseconds: int) -> tuple[int, int]:
    """Return a pair greater than any given before at this time; a full counter borrows from the next millisecond."""
    global _last  # noqa: PLW0603 - one counter per process is what makes the ids ascend
    with _lock:
        then, counter = _last
        if (milliseconds != then and abs(milliseconds - then) > 1000) or milliseconds > then:
            _last = (milliseconds, 0)
        elif counter < 0xFFF:
            _last = (then, counter + 1)
        else:
            _last = (then + 1, 0)
        return _last


def current_key(entity_type: str, entity_id: str, event_name: str) -> str:
    """Return the key of the one current row of this event on this entity."""
    return _digest(entity_type, entity_id, event_name)


def delivery_key(*parts: object) -> str:
    """Return the key of one delivery: its event, generation, phase, callback and what else tells it from its like."""
    return _digest(*(str(part) for part in parts))


def _digest(*parts: str) -> str:
    # Lengths go in front, so that no choice of names can make two different lists of parts look alike.
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()
