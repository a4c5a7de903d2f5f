"""Parents whose children will never tell them that they ended: their rows were deleted, or what they told is spoilt.

The engine itself ends a child and tells its parent in one transaction, and deletes neither before the parent has gone
on. Whoever deletes rows by hand does not. Those parents are found here, and told.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce

from automation.workflows.mailbox import DjangoMailbox
from automation.workflows.models import WorkflowRun, WorkflowSignal
from automation.workflows.querysets import LIVE
from automation.workflows.reading import readable
from automation.workflows.rows import run_from_row, signal_from_row
from automation.workflows.runs.children import children_of, lost_end
from automation.workflows.runs.values import Run, Signal, WorkflowStatus

__all__ = ["tell_of_lost_children"]

_ERASED = "child erased: its row was deleted before it told how it ended"
_SPOILT = "what the child told when it ended was deleted, or cannot be read"


def tell_of_lost_children(alias: str, now: datetime) -> int:
    """Tell waiting parents of the children that cannot do so themselves, as failed; return of how many.

    The next sweep delivers it. Safe to call twice: the same loss is told once.
    """
    told = 0
    for parent_id in list(_parents_in_doubt(alias)):
        with transaction.atomic(using=alias):
            signals = list(_missing(alias, parent_id, now))
            DjangoMailbox(alias).post(signals)
        told += len(signals)
    return told


def _parents_in_doubt(alias: str) -> Iterator[UUID]:
    """Yield the parents that count more children as out than there are alive. Most of them are about to hear."""
    rows = WorkflowRun.rows.using(alias)
    alive = rows.filter(parent_id=OuterRef("pk"), parent_visit=OuterRef("visit"), status__in=LIVE)
    number = alive.order_by().values("parent_id").annotate(number=Count("pk")).values("number")
    waiting = rows.filter(
        status__in=[WorkflowStatus.WAITING.value, WorkflowStatus.PAUSED.value], children_pending__gt=0
    )
    counted = waiting.annotate(alive=Coalesce(Subquery(number, output_field=IntegerField()), 0))
    yield from counted.filter(children_pending__gt=F("alive")).order_by("pk").values_list("pk", flat=True)


def _missing(alias: str, parent_id: UUID, now: datetime) -> Iterator[Signal]:
    parents, _ = readable(WorkflowRun.rows.using(alias).filter(pk=parent_id), 1, run_from_row)
    for parent in parents:
        expected = children_of(parent)
        stored = dict(WorkflowRun.rows.using(alias).filter(pk__in=expected).values_list("pk", "status"))
        # Read after the rows: whoever has ended by then has told it in the same transaction.
        told = _told(alias, parent)
        for child_id in expected:
            if str(child_id) not in told and stored.get(child_id) not in LIVE:
                yield lost_end(parent, child_id, _SPOILT if child_id in stored else _ERASED, now)


def _told(alias: str, parent: Run) -> set[str]:
    """Return the children whose end is stored and can be read, whether the parent has heard it or not."""
    if parent.wait is None:
        return set()
    rows = WorkflowSignal.objects.using(alias).filter(run_id=parent.id, name=parent.wait.signal).order_by("pk")
    signals, _ = readable(rows, rows.count(), signal_from_row)
    return {str(signal.payload["id"]) for signal in signals if signal.payload is not None}
