"""What is deleted in time: finished runs, delivered signals, and at last the keys that they leave behind.

Nothing here can bring anything back to life. A run that had a key or an occurrence leaves a tombstone, an emptied row
that goes on holding its unique columns, so that a late second start still meets the first. A signal stays as long as a
live run may still be about to wait for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from automation.workflows.conf import database_alias, setting
from automation.workflows.lost_children import tell_of_lost_children
from automation.workflows.models import (
    SignalAddress,
    SignalChannel,
    WorkflowAttempt,
    WorkflowReceipt,
    WorkflowRun,
    WorkflowSignal,
)
from automation.workflows.ports import wiring
from automation.workflows.querysets import LIVE, TERMINAL
from automation.workflows.rows import wait_columns
from automation.workflows.runs.values import WorkflowStatus

__all__ = ["cleanup"]

_BATCH = 500


def cleanup(now: datetime | None = None, *, using: str | None = None) -> Mapping[str, int]:
    """Delete what has been kept long enough, in short transactions; return how much, by kind.

    `lost` counts children that somebody else deleted, of which their parents were told.
    Safe to call twice, side by side, and to interrupt: each batch stands for itself.
    """
    alias = using or database_alias()
    time = now or wiring.clock.now()
    return {
        "runs": _in_batches(alias, lambda: _end_runs(alias, time)),
        "keys": _in_batches(alias, lambda: _forget_keys(alias, time)),
        "signals": _in_batches(alias, lambda: _delete_signals(alias, time)),
        "attempts": sum(_trim_history(alias, run_id) for run_id in _overgrown(alias)),
        "channels": _in_batches(alias, lambda: _delete_channels(alias)),
        "lost": tell_of_lost_children(alias, time),
    }


def _in_batches(alias: str, batch: Callable[[], int]) -> int:
    """Repeat a batch, each in a transaction of its own, until it finds nothing more."""
    total = 0
    while True:
        with transaction.atomic(using=alias):
            done = batch()
        if not done:
            return total
        total += done


def _end_runs(alias: str, now: datetime) -> int:
    rows = WorkflowRun.rows.using(alias).filter(_finished_long_ago(now), tombstone_at__isnull=True)
    found = list(_locked(rows, alias).values_list("pk", "run_key_digest", "occurrence_digest")[:_BATCH])
    ids = [run_id for run_id, _, _ in found]
    _delete_belongings(alias, ids)
    keyed = [run_id for run_id, key, occurrence in found if key or occurrence]
    WorkflowRun.rows.using(alias).filter(pk__in=keyed).update(**_EMPTIED, tombstone_at=now, revision=F("revision") + 1)
    _delete_rows(WorkflowRun.rows.using(alias).filter(pk__in=set(ids) - set(keyed)))
    return len(ids)


_EMPTIED = {
    "data": None,
    "wake": None,
    **wait_columns(None),
    "error": "",
    "why": "kept for its key alone",
    "entity_type": "",
    "entity_id": "",
}


def _finished_long_ago(now: datetime) -> Q:
    failed = Q(status=WorkflowStatus.FAILED.value, finished_at__lt=now - setting("FAILED_RETENTION"))
    others = [status for status in TERMINAL if status != WorkflowStatus.FAILED.value]
    return failed | Q(status__in=others, finished_at__lt=now - setting("RUN_RETENTION"))


def _delete_belongings(alias: str, run_ids: Iterable[UUID]) -> None:
    """Delete what has no meaning without its run: history, receipts, and signals addressed to it."""
    ids = list(run_ids)
    if not ids:
        return
    _delete_rows(WorkflowAttempt.objects.using(alias).filter(run_id__in=ids))
    _delete_rows(WorkflowReceipt.objects.using(alias).filter(run_id__in=ids))
    _delete_rows(WorkflowSignal.objects.using(alias).filter(run_id__in=ids, pending__isnull=True))


def _forget_keys(alias: str, now: datetime) -> int:
    """Delete tombstones, but never one whose event may still be announced."""
    long_ago = now - setting("KEY_RETENTION")
    rows = WorkflowRun.rows.using(alias).filter(
        Q(event_at__isnull=True) | Q(event_at__lt=long_ago), tombstone_at__lt=long_ago
    )
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH])
    _delete_rows(WorkflowRun.rows.using(alias).filter(pk__in=ids))
    return len(ids)


def _delete_signals(alias: str, now: datetime) -> int:
    """Delete delivered signals that no live run can be about to wait for."""
    old = WorkflowSignal.objects.using(alias).filter(
        pending__isnull=True, sent_at__lt=now - setting("SIGNAL_RETENTION")
    )
    live = WorkflowRun.rows.using(alias).filter(status__in=LIVE)
    # A reserved start asks for no signal from before it begins.
    begun = live.exclude(data__isnull=True, status__in=[WorkflowStatus.WAITING, WorkflowStatus.PAUSED])
    oldest = begun.aggregate(position=Min("start_position"))["position"]
    about_something = Exists(SignalAddress.objects.using(alias).filter(signal_id=OuterRef("signal_id")))
    broadcasts = Q(run_id__isnull=True) & ~about_something
    # A failed run may be retried, and then asks for what was sent to it since it began.
    asking = WorkflowRun.rows.using(alias).filter(status__in=[*LIVE, WorkflowStatus.FAILED], tombstone_at__isnull=True)
    gone = Q(run_id__isnull=False) & ~Exists(asking.filter(pk=OuterRef("run_id")))
    # Who began before a keyed signal may yet ask for it: such signals are kept for the oldest run that lives.
    passed = Q(run_id__isnull=True) if oldest is None else Q(run_id__isnull=True, position__lte=oldest)
    found = old.filter(broadcasts | gone | passed).order_by("pk").values_list("signal_id", flat=True)
    ids = list(found[:_BATCH])
    for model in (SignalAddress, WorkflowReceipt, WorkflowSignal):
        _delete_rows(model.objects.using(alias).filter(signal_id__in=ids))
    return len(ids)


def _delete_channels(alias: str) -> int:
    """Delete locks of names that nothing is about any more; whoever needs one makes it again."""
    name = OuterRef("name")
    unused = SignalChannel.objects.using(alias).filter(
        ~Exists(WorkflowSignal.objects.using(alias).filter(name=name)),
        ~Exists(WorkflowRun.rows.using(alias).filter(waiting_signal=name)),
    )
    digests = list(unused.order_by("pk").values_list("pk", flat=True)[:_BATCH])
    _delete_rows(SignalChannel.objects.using(alias).filter(pk__in=digests))
    return len(digests)


def _overgrown(alias: str) -> Iterator[UUID]:
    """Yield live runs that have moved more often than history is kept for."""
    rows = WorkflowRun.rows.using(alias).filter(status__in=LIVE, revision__gt=setting("HISTORY_LENGTH"))
    yield from rows.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=_BATCH)


def _trim_history(alias: str, run_id: UUID) -> int:
    """Keep the newest attempts of a run."""
    attempts = WorkflowAttempt.objects.using(alias).filter(run_id=run_id)
    newest = attempts.order_by("-revision").values_list("revision", flat=True)
    first_too_old = newest[setting("HISTORY_LENGTH") : setting("HISTORY_LENGTH") + 1].first()
    return 0 if first_too_old is None else _delete_rows(attempts.filter(revision__lte=first_too_old))


def _locked(rows: "QuerySet[WorkflowRun]", alias: str) -> "QuerySet[WorkflowRun]":
    """Lock rows, leaving out those that somebody else is moving, a retry of a failed run for one."""
    can_skip = connections[alias].features.has_select_for_update_skip_locked
    return rows.order_by("pk").select_for_update(skip_locked=can_skip)


def _delete_rows(rows: QuerySet) -> int:  # type: ignore[type-arg]
    """Delete without collecting: what belongs to these rows has been deleted before."""
    return rows._raw_delete(rows.db)
