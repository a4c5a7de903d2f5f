"""What follows a commit in the same process: immediate events and the calls they owe, within a budget of time.

Work that a callback's own commit causes is queued behind it, never nested, so that chains of events do not recurse.
What the budget leaves, and what a crash leaves, is stored and due: the processor does it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction

from automation.events import signals
from automation.events.conf import conf
from automation.events.ports.wiring import wiring

if TYPE_CHECKING:
    from automation.events.models import Event, EventDelivery

__all__ = ["Told", "after_commit", "held", "is_handed_over", "postponed"]

logger = logging.getLogger("automation.events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What receivers of Django's signals hear once the commit is done."""

    event: Event
    occurred: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    events: Sequence[UUID]
    deliveries: Sequence[UUID]
    told: Sequence[Told]
    using: str


class _Local(threading.local):
    def __init__(self) -> None:
        self.queue: deque[_Work] = deque()
        self.draining = False
        self.postponed = 0
        self.held = 0


_local = _Local()


class postponed:  # noqa: N801 - used as `with postponed():`
    """Hold back the work after commits inside the block: whoever opened it does that work, in order."""

    def __enter__(self) -> None:
        _local.postponed += 1

    def __exit__(self, *_: object) -> None:
        _local.postponed -= 1


class held:  # noqa: N801 - used as `with held():`
    """Inside the block a commit is followed by the events that it makes occur, and by none of the calls they owe.

    The calls stay owed, for the processor or for the next to look: a test can see what a save causes.
    """

    def __enter__(self) -> None:
        _local.held += 1

    def __exit__(self, *_: object) -> None:
        _local.held -= 1


def after_commit(*, events: Sequence[UUID], deliveries: Sequence[UUID], told: Sequence[Told] = (), using: str) -> None:
    """Let these events be judged and these deliveries be made right after the commit; nothing after a rollback."""
    if _local.postponed:
        events, deliveries = (), ()
    if events or deliveries or told:
        work = _Work(events=events, deliveries=deliveries, told=told, using=using)
        # No partial: Django logs what raised by its `__qualname__`, and the saver would get the error that it has none.
        transaction.on_commit(lambda: _follow(work), using=using, robust=True)


def is_handed_over(delivery: EventDelivery) -> bool:
    """Return whether an executor was given this call, so that this process does not make it."""
    return delivery.background and wiring.dispatcher is not None


def _follow(work: _Work) -> None:
    _local.queue.append(work)
    if _local.draining:
        return
    _local.draining = True
    try:
        _drain()
    finally:
        _local.draining = False
        _local.queue.clear()


def _drain() -> None:
    until = wiring.clock.now() + conf().inline_budget
    while _local.queue:
        work = _local.queue.popleft()
        _send(work)
        _do(work, out_of_time=lambda: wiring.clock.now() > until)


def _do(work: _Work, *, out_of_time: Callable[[], bool]) -> None:
    from automation.events.delivering import deliver, load
    from automation.events.occurring import occur

    if not (work.events or work.deliveries):
        return

    def stop() -> bool:
        return bool(_local.held) or out_of_time()

    try:
        if out_of_time():
            _leave(work)
            return
        due = load(work.deliveries, using=work.using) if work.deliveries else []
        _, left = deliver(due, using=work.using, stop=stop)
        with postponed():
            due = occur(work.events, using=work.using) if work.events else []
        left = left or deliver([one for one in due if not is_handed_over(one)], using=work.using, stop=stop)[1]
    except Exception:  # the rows are stored and due; the user's save has committed and must not fail now
        logger.exception("The work after a commit failed; the processor will do it.")
        left = True
    if left:
        _leave(work)


def _leave(work: _Work) -> None:
    """Leave the rest to the processor, and tell an executor that there is something to do."""
    if wiring.dispatcher is not None and wiring.dispatcher.horizon:
        wiring.dispatcher.hint(wiring.clock.now(), using=work.using)


def _send(work: _Work) -> None:
    for told in work.told:
        if told.occurred:
            signals.event_occurred.send_robust(type(told.event), event=told.event, using=work.using)
        else:
            reason = told.event.why
            signals.event_cancelled.send_robust(type(told.event), event=told.event, reason=reason, using=work.using)
