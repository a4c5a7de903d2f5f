"""Making the calls: a claim for each just before it, the callback and its completion in one transaction.

A claim is a write of its own: it counts the try before the callback can take the process down with it, and it moves
`next_at` to its end, so that what a dead or hanging process had begun becomes due again by itself. Completion is
guarded by the claim: whoever lost it rolls its writes back.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django.db import DatabaseError, transaction

from automation.events import signals
from automation.events.announcing import RELAY, relay
from automation.events.callbacks import callback_registry
from automation.events.conf import conf
from automation.events.deliveries import realign
from automation.events.errors import ClaimLost, ProcessLost
from automation.events.faults import fault, is_death
from automation.events.guarded import failure_text, guarded
from automation.events.holding import in_line, in_order, is_derived, still_ahead
from automation.events.leftovers import nothing_left_open
from automation.events.lifecycle.reconcile import later
from automation.events.lifecycle.status import DeliveryStatus
from automation.events.models import Event, EventDelivery
from automation.events.ports.wiring import wiring
from automation.events.transactions import noticing_rollbacks

__all__ = ["deliver", "load", "make"]

logger = logging.getLogger("automation.events")

Call = Callable[[EventDelivery], None]


def load(delivery_ids: Sequence[UUID], *, using: str) -> list[EventDelivery]:
    """Read deliveries that are owed and due, with their events, in the order in which they are due."""
    rows = EventDelivery.objects.using(using).select_related("event")
    due = rows.filter(pk__in=delivery_ids, status=DeliveryStatus.PENDING, next_at__lte=wiring.clock.now())
    return list(due.order_by("next_at", "id"))


def deliver(
    deliveries: Iterable[EventDelivery], *, using: str, stop: Callable[[], bool] = lambda: False
) -> tuple[int, bool]:
    """Make these calls, each by itself; return how many were made, and whether `stop` left any undone."""
    made = 0
    for delivery in deliveries:
        if stop():
            return made, True
        made += make(delivery, using=using)
    return made, False


def make(delivery: EventDelivery, *, using: str) -> bool:
    """Make one call if it is still owed and nobody else is at it; return whether this process made it.

    What the callback raises is recorded and tried again later. KeyboardInterrupt and a queue's time limit are recorded
    and passed on.
    """
    call = _find(delivery)
    if call is None:
        if _is_early(delivery):
            realign([delivery.event], using=using)  # its callback may have another offset now, and it another time
        _park(delivery, using=using)
        return False
    try:
        begins = _may_begin(delivery, using=using) and _claim(delivery, using=using)
    except Exception as error:  # noqa: BLE001 - a subscriber or a deadlock; one call must not stop the others
        _put_off(delivery, error, using=using)
        return False
    if not begins:
        return False
    try:
        fault("callback.after_claim", delivery.callback)
        call(delivery)
    except BaseException as error:
        if is_death(error):
            raise
        fault("callback.before_failure", delivery.callback)
        _record_failure(delivery, error, using=using)
        fault("callback.after_failure", delivery.callback)
        if _passes_on(error):
            raise
    else:
        fault("callback.after_commit", delivery.callback)
        signals.delivery_succeeded.send_robust(EventDelivery, delivery=delivery, using=using)
    return True


def _may_begin(delivery: EventDelivery, *, using: str) -> bool:
    if delivery.phase == RELAY:
        return in_order(delivery, using=using)
    return still_ahead(delivery, using=using)


def _put_off(delivery: EventDelivery, error: Exception, *, using: str) -> None:
    """Leave a call for a while that could be neither judged nor claimed. It has not begun: its `error` stays empty."""
    logger.error("Delivery %s could not begin.", delivery.pk, exc_info=error, extra={"delivery_id": str(delivery.pk)})
    rows = EventDelivery.objects.using(using).filter(pk=delivery.pk, status=DeliveryStatus.PENDING)
    rows.filter(attempts=delivery.attempts, next_at=delivery.next_at).update(
        next_at=later(wiring.clock.now(), conf().missing_grace),
        why=f"it could not begin, and is tried again: {failure_text(error)}",
    )


def _find(delivery: EventDelivery) -> Call | None:
    """Return what is to be called, or None when this process does not have it."""
    if delivery.phase == RELAY:
        known = delivery.callback in {subscriber.name for subscriber in wiring.subscribers}
        return _relay if known else None
    callback = callback_registry.find(delivery.callback, delivery.phase, delivery.offset)
    if callback is None or (_is_early(delivery) and callback.offset != delivery.offset):
        return None
    return _atomically(callback.function) if callback.atomic else _openly(callback.function)


def _is_early(delivery: EventDelivery) -> bool:
    """Return whether a call is owed before its event, and has not begun: then its offset says when, or nothing does."""
    return is_derived(delivery) and delivery.offset < timedelta(0)


def _atomically(function: Callable[..., Any]) -> Call:
    def call(delivery: EventDelivery) -> None:
        using = delivery._state.db or "default"
        with transaction.atomic(using=using), noticing_rollbacks(using):
            _run_between_faults(function, delivery)
            _complete(delivery, using=using)
            fault("callback.before_commit", delivery.callback)

    return call


def _openly(function: Callable[..., Any]) -> Call:
    def call(delivery: EventDelivery) -> None:
        _run_between_faults(function, delivery)
        _complete(delivery, using=delivery._state.db or "default")

    return call


def _relay(delivery: EventDelivery) -> None:
    """Carry a change over to a subscriber's database; it comes at least once, and the subscriber is idempotent."""
    subscriber = next(one for one in wiring.subscribers if one.name == delivery.callback)
    with transaction.atomic(using=subscriber.alias):
        relay(subscriber, delivery.data or {})
    _complete(delivery, using=delivery._state.db or "default")


def _own_copy(event: Event) -> Event:
    """Return each callback an event of its own: what one does to `event.entity` in memory is nothing to another."""
    own = copy.copy(event)
    own.__dict__.pop("entity", None)
    own.payload = copy.deepcopy(event.payload)
    return own


def _run_between_faults(function: Callable[..., Any], delivery: EventDelivery) -> None:
    fault("callback.before_body", delivery.callback)
    # A commit may come within a transaction on another database, which must survive what the callback breaks there.
    # What it leaves open is looked for outside of the savepoints that guard others, which are begun within.
    with wiring.around_callbacks(), nothing_left_open(), guarded(but=delivery._state.db or "default"):
        _run(function, _own_copy(delivery.event))
    fault("callback.after_body", delivery.callback)


def _run(function: Callable[..., Any], event: Event) -> None:
    result = function(event)
    if inspect.isawaitable(result):
        # On this thread, so that the callback's queries share its connection and transaction.
        async_to_sync(_wait_for)(result)


async def _wait_for(result: Any) -> None:
    await result


def _claim(delivery: EventDelivery, *, using: str) -> bool:
    now, claim = wiring.clock.now(), uuid4()
    if _is_last(delivery):
        _give_up(delivery, using=using, now=now)
        return False
    until = later(now, conf().claim)
    rows = EventDelivery.objects.using(using).filter(
        pk=delivery.pk, status=DeliveryStatus.PENDING, attempts=delivery.attempts, next_at__lte=now
    )
    changed = {"attempts": delivery.attempts + 1, "claim": claim, "claim_expires_at": until, "next_at": until}
    derived = is_derived(delivery)
    with transaction.atomic(using=using) if derived else nullcontext():
        if derived and not in_line(delivery, using=using, now=now):
            return False
        return bool(rows.update(**changed)) and _follow(delivery, changed, using=using)


def _is_last(delivery: EventDelivery) -> bool:
    """Return whether no try is left. A change for another database is carried over however long that is away."""
    return delivery.phase != RELAY and conf().retry.exhausted(delivery.attempts)


def _complete(delivery: EventDelivery, *, using: str) -> None:
    """Write the completion under the claim; whoever lost it must roll back."""
    now = wiring.clock.now()
    changed = {
        "status": DeliveryStatus.DELIVERED,
        "finished_at": now,
        "next_at": None,
        "claim": None,
        "claim_expires_at": None,
        "why": "",
        "error": "",
    }
    rows = EventDelivery.objects.using(using).filter(
        pk=delivery.pk, claim=delivery.claim, status=DeliveryStatus.PENDING
    )
    if not rows.update(**changed):
        raise ClaimLost(
            f"Delivery {delivery.pk} of {delivery.callback!r} took longer than its claim and was taken over. Raise "
            f"AUTOMATION_EVENTS['CLAIM'] above the callback's longest time."
        )
    _follow(delivery, {name: value for name, value in changed.items() if name != "claim"}, using=using)


def _record_failure(delivery: EventDelivery, error: BaseException, *, using: str) -> None:
    now, policy = wiring.clock.now(), conf().retry
    final = _is_last(delivery)
    retry_at = None if final else later(now, policy.delay(delivery.attempts, random.random))
    changed = {
        "status": DeliveryStatus.FAILED if final else DeliveryStatus.PENDING,
        "finished_at": now if final else None,
        "next_at": retry_at,
        "claim": None,
        "claim_expires_at": None,
        "why": "every try failed" if final else f"try {delivery.attempts} failed; the next one comes at `next_at`",
        "error": _told(error),
    }
    rows = EventDelivery.objects.using(using).filter(pk=delivery.pk, claim=delivery.claim)
    if not rows.exclude(status=DeliveryStatus.DELIVERED).update(**changed):
        # Whoever has taken it over records what becomes of it; that it was taken over must be seen all the same.
        signals.delivery_failed.send_robust(EventDelivery, delivery=delivery, error=error, final=False, using=using)
        return
    _follow(delivery, changed, using=using)
    if retry_at is not None and wiring.dispatcher is not None and retry_at <= now + wiring.dispatcher.horizon:
        wiring.dispatcher.hint(retry_at, using=using)
    signals.delivery_failed.send_robust(EventDelivery, delivery=delivery, error=error, final=final, using=using)


def _told(error: BaseException) -> str:
    text = failure_text(error)
    if isinstance(error, transaction.TransactionManagementError | DatabaseError):
        text += "\n(If the callback caught a database error itself: do that around a nested transaction.atomic().)"
    return text


def _give_up(delivery: EventDelivery, *, using: str, now: datetime) -> None:
    """Stop trying what took down its process every time."""
    why = "every process that tried it died or hung"
    rows = EventDelivery.objects.using(using).filter(
        pk=delivery.pk, status=DeliveryStatus.PENDING, attempts=delivery.attempts, next_at__lte=now
    )
    changed = {
        "status": DeliveryStatus.FAILED,
        "why": why,
        "next_at": None,
        "claim": None,
        "claim_expires_at": None,
        "finished_at": now,
    }
    if rows.update(**changed):
        _follow(delivery, changed, using=using)
        error = ProcessLost(f"Delivery {delivery.pk} of {delivery.callback!r}: {why}.")
        signals.delivery_failed.send_robust(EventDelivery, delivery=delivery, error=error, final=True, using=using)


def _park(delivery: EventDelivery, *, using: str) -> None:
    name = repr(delivery.callback) + (f" with the offset {delivery.offset}" if _is_early(delivery) else "")
    why = f"{name} is not registered in the process that checked it; it goes on in one that knows it"
    rows = EventDelivery.objects.using(using).filter(pk=delivery.pk, status=DeliveryStatus.PENDING)
    rows.filter(attempts=delivery.attempts, next_at=delivery.next_at).update(
        status=DeliveryStatus.PARKED, why=why, next_at=None
    )


def _passes_on(error: BaseException) -> bool:
    """Return whether the process itself is meant: an interrupt, or a queue's time limit (a kind of SystemExit).

    A plain `sys.exit()` or a cancelled task inside a callback is that callback's failure and touches no other.
    """
    own_failure = isinstance(error, Exception | asyncio.CancelledError) or type(error) is SystemExit
    return not own_failure


def _follow(delivery: EventDelivery, changed: dict[str, Any], *, using: str) -> bool:
    delivery._state.db = using
    for name, value in changed.items():
        setattr(delivery, name, value)
    return True
