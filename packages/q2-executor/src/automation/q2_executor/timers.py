"""Timers inside the queue: messages for a time in the near future, good to about a fifth of a second.

With the ORM broker a timer is a row of q2's own table whose `lock` lies ahead: q2 does not fetch it before. It is as
durable as the data beside it, and part of the same transaction. With Redis it is a member of a sorted set, and each
worker process has a thread that moves what is due to q2's list. Both are hints: the sweeps stand behind them.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

from django.utils import timezone

from automation.q2_executor import broker
from automation.q2_executor.broker import Broker
from automation.q2_executor.conf import conf
from automation.q2_executor.instants import as_stored
from automation.q2_executor.message import Message

__all__ = ["available", "keep", "missing", "move_due", "start_in_worker"]

Kept: TypeAlias = tuple[str, tuple[Any, ...], float]
"""What makes two timers the same: task, arguments, and time in seconds since the epoch."""

logger = logging.getLogger("automation.q2_executor")

TICK_SECONDS = 0.25
"""How often a worker process looks at the timers in Redis: about as often as q2 looks at its table (0.2 s)."""
TROUBLE_SECONDS = 5.0
"""How long to leave Redis alone after an error."""
MOVED_AT_ONCE = 100
"""Timers moved in one go; a script must not hold Redis up."""

_MOVE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, package in ipairs(due) do
    redis.call('RPUSH', KEYS[2], package)
    redis.call('ZREM', KEYS[1], package)
end
return #due
"""


def available() -> bool:
    """Return whether this broker can keep timers, and may."""
    return conf().timers and broker.kind() in {Broker.ORM, Broker.REDIS}


def keep(target: Any, package: str, at: datetime) -> None:
    """Put a package aside until `at`; dropped when the broker has no timers, for it must not come early."""
    if broker.kind() is Broker.REDIS:
        target.connection.zadd(_timers_of(target), {package: at.timestamp()})


def missing(messages: Iterable[Message]) -> list[Message]:
    """Return the timers that are not queued yet: a sweep asks for the same ones again and again."""
    wanted = [message for message in messages if message.at is not None]
    if not wanted:
        return []
    times = [message.at for message in wanted if message.at is not None]
    kept = set(_kept(min(times), max(times)))
    different = {(each.task, each.args, each.at.timestamp()): each for each in wanted if each.at is not None}
    return [each for key, each in different.items() if key not in kept]


def _kept(since: datetime, until: datetime) -> Iterator[Kept]:
    """Yield the timers that are kept for this span of time."""
    queue = broker.main_queue()
    if broker.kind() is Broker.REDIS:
        target = broker.broker_for(queue)
        stored = target.connection.zrangebyscore(
            _timers_of(target), since.timestamp(), until.timestamp(), withscores=True
        )
        yield from (kept for package, score in stored for kept in _read(package.decode(), score))
    else:
        from django_q.models import OrmQ

        rows = OrmQ.objects.using(broker.orm_alias()).filter(
            key=queue, lock__range=(as_stored(since), as_stored(until))
        )
        for package, lock in rows.values_list("payload", "lock"):
            yield from _read(package, _instant(lock).timestamp())


def _read(package: str, at: float) -> Iterator[Kept]:
    """Read a package, if it can be read: q2 keeps those of other apps in the same place."""
    from django_q.signing import SignedPackage

    try:
        task = SignedPackage.loads(package)
        yield task["func"], tuple(task["args"]), at
    except Exception:
        # Unpickling runs code of other apps, or of a release that is gone: it may raise anything, and is not ours.
        logger.debug("A package in the queue could not be read.", exc_info=True)


def _instant(lock: datetime) -> datetime:
    aware = timezone.make_aware(lock, timezone.get_default_timezone()) if timezone.is_naive(lock) else lock
    return aware.astimezone(UTC)


def move_due(target: Any, *, now: float) -> int:
    """Move what is due at `now` (seconds since the epoch) to q2's list, in one step that nobody can interrupt."""
    moved: int = target.connection.eval(_MOVE, 2, _timers_of(target), target.list_key, now, MOVED_AT_ONCE)
    return moved


def start_in_worker(**_: Any) -> None:
    """Begin to look after the timers, when q2 has started a worker process whose broker is Redis."""
    if conf().timers and broker.kind() is Broker.REDIS:
        threading.Thread(target=_look_after, args=(broker.main_queue(),), name="automation-timers", daemon=True).start()


def _look_after(queue: str) -> None:
    while True:
        time.sleep(_look(queue))


def _look(queue: str) -> float:
    """Move what is due; return the seconds until the next look."""
    from redis import RedisError

    try:
        moved = move_due(broker.broker_for(queue), now=time.time())
    except RedisError:
        logger.warning("The timers of queue %r could not be read from Redis.", queue, exc_info=True)
        return TROUBLE_SECONDS
    return 0 if moved == MOVED_AT_ONCE else TICK_SECONDS


def _timers_of(target: Any) -> str:
    return f"automation:timers:{target.list_key}"
