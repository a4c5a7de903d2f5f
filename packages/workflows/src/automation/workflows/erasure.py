"""A person's data is erased from runs: what they were about stays countable, what it said does not."""

import json
from dataclasses import asdict

from django.db import transaction
from django.db.models import F, TextField
from django.db.models.functions import Cast

from automation.workflows.conf import database_alias
from automation.workflows.models import WorkflowAttempt, WorkflowRun, WorkflowSignal
from automation.workflows.querysets import LIVE, TERMINAL
from automation.workflows.rows import wait_columns
from automation.workflows.runs.values import EntityRef

__all__ = ["erase_entity"]

_BATCH = 500

_REASON = "erased: the data of its entity was deleted on request"


def erase_entity(entity_type: str, entity_id: str, *, using: str | None = None) -> int:
    """Empty the Contexts, payloads and error texts of every run and signal about an entity; return how many.

    `entity_type` is `app_label.model`. Runs that have not ended are cancelled first, with their children: they cannot
    go on without what they know. What keeps a key or an occurrence from starting twice stays. Safe to call twice.
    """
    alias, entity = using or database_alias(), EntityRef(type=entity_type.lower(), id=str(entity_id))
    about = WorkflowRun.objects.using(alias).filter(entity_type=entity.type, entity_id=entity.id)
    about.filter(status__in=LIVE).cancel(reason=_REASON)
    with transaction.atomic(using=alias):
        return _empty_runs(entity, alias) + _empty_signals(entity, alias)


def _empty_runs(entity: EntityRef, alias: str) -> int:
    rows = WorkflowRun.rows.using(alias).filter(
        entity_type=entity.type, entity_id=entity.id, tombstone_at__isnull=True, status__in=TERMINAL
    )
    ids = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
    WorkflowAttempt.objects.using(alias).filter(run_id__in=ids).update(detail="")
    WorkflowSignal.objects.using(alias).filter(run_id__in=ids).update(payload=None)
    emptied = {"data": {}, "wake": None, "error": "", "why": _REASON, "arguments_digest": "", **wait_columns(None)}
    return WorkflowRun.rows.using(alias).filter(pk__in=ids).update(revision=F("revision") + 1, **emptied)


def _empty_signals(entity: EntityRef, alias: str) -> int:
    """Empty what was sent about it. The text of the subjects is searched: nothing else knows all names of signals."""
    subject = json.dumps(asdict(entity), separators=(",", ":"))
    signals = WorkflowSignal.objects.using(alias).annotate(text=Cast("subjects", TextField()))
    found = signals.filter(text__contains=subject).values_list("pk", "subjects")
    # SQLite does not tell `A1` from `a1` in a search.
    ids = [pk for pk, subjects in found if asdict(entity) in subjects]
    chunks = (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
    return sum(signals.filter(pk__in=chunk).update(payload=None) for chunk in chunks)
