"""A run whose row cannot be read is held, visibly, and goes on by itself once it can be read again."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import F, QuerySet

from automation.workflows.models import WorkflowRun
from automation.workflows.querysets import LIVE
from automation.workflows.runs.values import Pause, WorkflowStatus

__all__ = ["park"]


def park(rows: "QuerySet[WorkflowRun]", spoilt: Mapping[UUID, str], look_again_at: datetime) -> None:
    """Hold those of `rows` that are in `spoilt`, by its reasons, and have the sweep look at them again.

    A row in a status that only a newer release knows stays in it: that release can read it, and it is merely put off.
    """
    for run_id, reason in spoilt.items():
        row = rows.filter(pk=run_id)
        held = (
            row.filter(status__in=LIVE)
            .exclude(status=WorkflowStatus.PAUSED.value)
            .update(
                status=WorkflowStatus.PAUSED.value,
                pause=Pause.CONTEXT.value,
                pause_requested=False,
                why=f"its row cannot be read: {reason}",
                claim_expires_at=None,
                next_at=look_again_at,
                revision=F("revision") + 1,
            )
        )
        if not held:
            row.update(next_at=look_again_at)
