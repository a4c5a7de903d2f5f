"""Deploys that change what is declared: a stored fingerprint tells, and the processor adds what is missing.

Only what lies ahead is derived anew: rows of scheduled events, and calls owed before them. The past is never replayed,
and what has begun is never touched. What is gone from the code is taken back by `sync_events`, a step of the deploy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.apps import apps
from django.db import transaction
from django.db.models import Model

from automation.events import deliveries
from automation.events.announcing import announce, announcements
from automation.events.callbacks import EventPhase, callback_registry
from automation.events.conf import conf
from automation.events.databases import may_hold
from automation.events.lifecycle.reconcile import News, later
from automation.events.lifecycle.status import EventStatus
from automation.events.models import DeclarationState, Event
from automation.events.ports.subscriber import Fingerprinted
from automation.events.ports.wiring import wiring
from automation.events.registry import declarations, declared
from automation.events.syncing import sync_keys

__all__ = ["catch_up", "declaring_models", "derive_all", "fingerprint", "note_as_current"]

NAME = "declarations"
CHUNKS = 20
"""Chunks per poll, so that catching up on a large table does not hold up what is due."""
AGAIN: Final[Mapping[str, Any]] = {"stage": 0, "after": None, "again": True}
"""Where the second catching up begins. With `finished_at` set it is owed, a DEPLOY_GRACE after the first has ended."""


def fingerprint() -> str:
    """Return a hash of everything from which work ahead of time is derived."""
    lines = sorted([*_definition_lines(), *_callback_lines(), *_subscriber_lines()])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def catch_up(*, using: str) -> bool:
    """Add what a changed declaration makes missing, a few chunks at a time; return whether to go on at once.

    The first process ever to look notes the declarations as they are: adopting existing data is `sync_events`' task.
    A release that has just taken over goes on at the next look, so that several cannot keep the executor busy.
    What the release before has saved meanwhile lacks what only this one declares, so all is gone through once more when
    a deploy is over.
    """
    state, current = DeclarationState.objects.using(using).filter(pk=NAME).first(), fingerprint()
    if state is None:
        note_as_current(using=using)
        return False
    taken_over = state.fingerprint != current
    if taken_over and not _take_over(state, current, using=using):
        return False
    if not taken_over and not _is_under_way(state):
        return False
    cursor = None if taken_over else state.cursor
    again = bool(cursor and cursor.get("again"))
    for _ in range(CHUNKS):
        cursor = _next_chunk(cursor or {"stage": 0, "after": None}, using=using)
        if not _note_progress(current, cursor, again=again, using=using) or cursor is None:
            return False
    return not taken_over


def derive_all(*, using: str) -> None:
    """Add what is missing for every event that lies ahead, now."""
    cursor: dict[str, Any] | None = {"stage": len(_scheduled_models(using)), "after": None}
    while cursor is not None:
        cursor = _next_chunk(cursor, using=using)


def note_as_current(*, using: str) -> None:
    """Note that the stored rows are in line with what this process declares.

    No release waits for what a person has done: one that is rolled back brings back at once what this one withdrew.
    Where another release was at it before, that may still be saving.
    """
    now = wiring.clock.now()
    before = DeclarationState.objects.using(using).filter(pk=NAME).first()
    current = fingerprint()
    is_other = before is not None and before.fingerprint != current
    owes_again = is_other or (before is not None and (before.finished_at is None or before.cursor is not None))
    DeclarationState.objects.using(using).update_or_create(
        pk=NAME,
        defaults={
            "fingerprint": current,
            "superseded": [],
            "cursor": AGAIN if owes_again else None,
            "finished_at": now,
            "updated_at": now,
        },
    )


def _take_over(state: DeclarationState, current: str, *, using: str) -> bool:
    """Begin to bring the rows in line with this process; return False where another release is to be left at it.

    While a deploy is under way processes of two releases look in turn. If each began anew whenever it found the other's
    declarations, neither would come to an end: the one that was replaced waits until the other has been done for a
    while. By then it is either gone, or what is deployed again.
    """
    now = wiring.clock.now()
    if current in state.superseded and _is_recent(state, now=now):
        return False
    taken = DeclarationState.objects.using(using).filter(pk=NAME, fingerprint=state.fingerprint)
    superseded = _superseded(state, by=current, now=now)
    return bool(taken.update(fingerprint=current, superseded=superseded, cursor=None, finished_at=None, updated_at=now))


def _superseded(state: DeclarationState, *, by: str, now: datetime) -> list[str]:
    """Return which fingerprints were replaced not long ago, when `by` is the one that counts from now on."""
    earlier = state.superseded if _is_recent(state, now=now) else []
    return [one for one in dict.fromkeys([state.fingerprint, *earlier]) if one != by]


def _is_under_way(state: DeclarationState) -> bool:
    """Return whether there is something to catch up on: the first time, or again since the grace is over."""
    return state.finished_at is None or (state.cursor is not None and not _is_recent(state, now=wiring.clock.now()))


def _is_recent(state: DeclarationState, *, now: datetime) -> bool:
    return now < later(state.updated_at, conf().deploy_grace)


def _note_progress(current: str, cursor: dict[str, Any] | None, *, again: bool, using: str) -> bool:
    """Note how far the catching up has come; return False when another release has taken over meanwhile."""
    now = wiring.clock.now()
    values: dict[str, Any] = {"cursor": cursor, "finished_at": None, "updated_at": now}
    if cursor is None:
        values |= {"superseded": [], "finished_at": now} if again else {"cursor": AGAIN, "finished_at": now}
    return bool(DeclarationState.objects.using(using).filter(pk=NAME, fingerprint=current).update(**values))


def _next_chunk(cursor: dict[str, Any], *, using: str) -> dict[str, Any] | None:
    """Do one chunk and give where to go on: the models one after the other, then the events that lie ahead."""
    stage, after, models = cursor["stage"], cursor["after"], _scheduled_models(using)
    if stage < len(models):
        after = _arm_missing(models[stage], after, using=using)
    else:
        after = _derive_calls(after, using=using)
    if after is not None:
        return {**cursor, "after": after}
    return {**cursor, "stage": stage + 1, "after": None} if stage < len(models) else None


def _arm_missing(model: type[Model], after: Any, *, using: str) -> Any:
    """Bring the scheduled events of the next entities in line; immediate ones wait for a save, as ever."""
    assert model._meta.pk is not None
    keys = model._base_manager.using(using).order_by("pk").values_list("pk", flat=True)
    if after is not None:
        keys = keys.filter(pk__gt=model._meta.pk.to_python(after))
    chunk = list(keys[: conf().batch])
    if chunk:
        scheduled = [one for one in declared(model) if not one.definition.is_immediate()]
        sync_keys(model, chunk, scheduled, using=using)
    return str(chunk[-1]) if len(chunk) == conf().batch else None


def _derive_calls(after: Any, *, using: str) -> Any:
    """Add the calls ahead of the next events, and tell subscribers, who add what they hang on them."""
    now = wiring.clock.now()
    with transaction.atomic(using=using):
        rows = Event.objects.using(using).filter(status=EventStatus.PENDING, at__isnull=False).order_by("id")
        if after is not None:
            rows = rows.filter(id__gt=after)
        pending = list(rows[: conf().batch])
        deliveries.realign(pending, using=using)
        events = [event for event in pending if event.at and event.at > now]
        missing = [one for event in events for one in deliveries.ahead(event, now=now)]
        told = {event: announcements(event, [News.ARMED], before=None, again=True) for event in events}
        for event, news in told.items():
            missing += deliveries.relays(event, news, using=using, now=now, again=fingerprint())
        deliveries.write(missing, using=using, may_exist=True)
        announce([one for news in told.values() for one in news], using=using)
    return str(pending[-1].id) if len(pending) == conf().batch else None


def _scheduled_models(using: str) -> list[type[Model]]:
    found = {one.model for one in declarations().values() if not one.definition.is_immediate()}
    return [model for model in declaring_models(using) if model in found]


def declaring_models(using: str | None = None) -> list[type[Model]]:
    """Return the models that declare events; with an alias, those whose rows may be stored there."""
    found = {one.model for one in declarations().values()}
    models = [model for model in apps.get_models(include_auto_created=True) if model in found]
    return [model for model in models if using is None or may_hold(using, model)]


def _definition_lines() -> Iterator[str]:
    for one in declarations().values():
        if not one.definition.is_immediate():
            yield f"definition {one.entity_type} {one.name} {one.definition.date_field}"


def _callback_lines() -> Iterator[str]:
    for one in callback_registry.all():
        if one.phase is EventPhase.OCCURRED and one.offset < timedelta(0):
            yield f"callback {one.name} {one.event_name} {one.entity_type} {one.offset}"


def _subscriber_lines() -> Iterator[str]:
    for subscriber in wiring.subscribers:
        derives = subscriber.fingerprint if isinstance(subscriber, Fingerprinted) else ""
        yield f"subscriber {subscriber.name} {derives}"
