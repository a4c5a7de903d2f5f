"""What is wrong with the runs, in numbers, for a doctor."""

from collections import Counter
from datetime import datetime

from automation.workflows.models import WorkflowRun, WorkflowSignal
from automation.workflows.ports import Health
from automation.workflows.runs.values import WorkflowStatus

__all__ = ["health"]

_COUNTED = 1000


def health(before: datetime, *, using: str) -> Health:
    """Count up to a thousand of each, by index, in four statements."""
    runs, signals = WorkflowRun.objects.using(using), WorkflowSignal.objects.using(using)
    overdue = Counter(runs.overdue(before).values_list("status", flat=True)[:_COUNTED])
    return Health(
        overdue=overdue.total() - overdue[WorkflowStatus.RUNNING.value],
        lost=overdue[WorkflowStatus.RUNNING.value],
        undelivered=signals.undelivered(before)[:_COUNTED].count(),
        failed=runs.failed()[:_COUNTED].count(),
        parked=Counter(runs.paused().parked_for_code().values_list("name", "pause")[:_COUNTED]),
    )
