"""Ways to look at runs and signals: by status, by trouble, by what they are about. And ways to move many at once."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from uuid import UUID

from django.db import models
from django.db.models import Count, Q

from automation.workflows.authoring.entities import names_of
from automation.workflows.authoring.registry import registry
from automation.workflows.conf import database_alias
from automation.workflows.errors import IllegalTransition, UnknownRun, UsageError
from automation.workflows.runs.values import Pause, WorkflowStatus

if TYPE_CHECKING:
    from automation.workflows.models import WorkflowRun, WorkflowSignal

    _Runs = models.QuerySet[WorkflowRun]
    _Signals = models.QuerySet[WorkflowSignal]
else:
    _Runs = _Signals = models.QuerySet

__all__ = [
    "LIVE",
    "TERMINAL",
    "Stranded",
    "WorkflowRunManager",
    "WorkflowRunQuerySet",
    "WorkflowSignalManager",
    "WorkflowSignalQuerySet",
]

LIVE = tuple(status.value for status in WorkflowStatus if not status.is_terminal)
TERMINAL = tuple(status.value for status in WorkflowStatus if status.is_terminal)

_CHUNK = 500


class Stranded(NamedTuple):
    """Live runs that stand where the code has nothing: counted together."""

    name: str
    version: str
    step: str
    runs: int


class WorkflowRunQuerySet(_Runs):
    """Runs, narrowed by what one asks about them."""

    # By status

    def live(self) -> Self:
        """Narrow to runs that have not ended."""
        return self.filter(status__in=LIVE)

    def ready(self) -> Self:
        """Narrow to runs that a worker may take."""
        return self.filter(status=WorkflowStatus.READY)

    def running(self) -> Self:
        """Narrow to runs that a worker holds."""
        return self.filter(status=WorkflowStatus.RUNNING)

    def waiting(self) -> Self:
        """Narrow to runs that wait for a time, a signal or both."""
        return self.filter(status=WorkflowStatus.WAITING)

    def paused(self) -> Self:
        """Narrow to runs that are held, by a person or for want of their code."""
        return self.filter(status=WorkflowStatus.PAUSED)

    def completed(self) -> Self:
        """Narrow to runs that ended well."""
        return self.filter(status=WorkflowStatus.COMPLETED)

    def failed(self) -> Self:
        """Narrow to FAILED runs, which `retry()` has try again."""
        return self.filter(status=WorkflowStatus.FAILED)

    def cancelled(self) -> Self:
        """Narrow to runs that were called off."""
        return self.filter(status=WorkflowStatus.CANCELLED)

    def for_entity(self, instance: models.Model) -> Self:
        """Narrow to runs that are about a model instance, or about its row of a multi-table parent."""
        wanted = Q()
        for name in names_of(instance):
            wanted |= Q(entity_type=name.type, entity_id=name.id)
        return self.filter(wanted)

    # By trouble: what a doctor asks

    def overdue(self, before: datetime) -> Self:
        """Narrow to runs that should have been looked at before this time: nobody sweeps, or they are too many."""
        return self.filter(next_at__lt=before)

    def stuck_claims(self, before: datetime) -> Self:
        """Narrow to runs whose worker's claim ended before this time, and that nobody has rescued."""
        return self.filter(status=WorkflowStatus.RUNNING, next_at__lt=before, claim_expires_at__lt=before)

    def parked_for_code(self) -> Self:
        """Narrow to runs that are held, or about to be, because a worker lacked their code or it did not fit."""
        held = Q(status=WorkflowStatus.PAUSED, pause__in=[Pause.MISSING.value, Pause.CONTEXT.value])
        return self.filter(held | Q(status=WorkflowStatus.READY, missing_since__isnull=False))

    def unmovable(self) -> Self:
        """Narrow to live runs that no time, signal, worker or person will move. Invariant: there are none."""
        untimed = Q(status__in=[WorkflowStatus.READY, WorkflowStatus.RUNNING], next_at__isnull=True)
        unclaimed = Q(status=WorkflowStatus.RUNNING, claim_expires_at__isnull=True)
        nothing_awaited = Q(status=WorkflowStatus.WAITING, next_at__isnull=True, waiting_signal="")
        unheld = Q(status=WorkflowStatus.PAUSED, pause=Pause.NONE.value)
        # A reserved start without a time waits for its event.
        return self.live().filter(untimed | unclaimed | nothing_awaited & Q(data__isnull=False) | unheld)

    def stranded(self) -> list[Stranded]:
        """Count the live runs whose workflow, version or step this process's code does not have.

        Run it with new code on the old data, before a deploy: it names what the deploy would park.
        """
        places = self.live().values_list("name", "version", "current_step").annotate(runs=Count("pk"))
        found = (Stranded(*place) for place in places.order_by("name", "version", "current_step"))
        return [place for place in found if not _is_known(place)]

    # Many at once: each run in a transaction of its own, or in the caller's

    def retry(self, from_step: str | None = None) -> int:
        """Have the FAILED runs among these try again; return how many do.

        Raises UsageError, before any is moved, where a workflow among them has no step `from_step`.
        """
        chosen = self._pinned()
        if from_step is not None:
            chosen._check_have(from_step)
        return chosen._each(lambda run_id: _engine().retry(run_id, from_step))

    def cancel(self, reason: str = "cancelled by hand") -> int:
        """Call off the runs among these that have not ended; return how many."""
        return self._each(lambda run_id: _engine().cancel(run_id, reason=reason))

    def pause(self, reason: str = "paused by hand") -> int:
        """Hold the runs among these that have not ended; return how many."""
        return self._each(lambda run_id: _engine().pause(run_id, reason=reason))

    def resume(self) -> int:
        """Let the runs among these that a person has paused go on; return how many."""
        return self._each(lambda run_id: _engine().resume(run_id))

    def _each(self, verb: Callable[[UUID], bool]) -> int:
        return sum(_took_effect(verb, run_id) for run_id in self._pinned()._ids())

    def _pinned(self) -> Self:
        """Return the same runs by their ids where a slice was taken: it could be neither ordered nor narrowed again."""
        if not self.query.is_sliced:
            return self
        ids = list(self.values_list("pk", flat=True))
        return type(self)(self.model, using=self.db).filter(pk__in=ids)

    def _check_have(self, step: str) -> None:
        """Raise UsageError where the code of a FAILED run among these has no such step."""
        places = self.failed().order_by("name", "version").values_list("name", "version").distinct()
        lacking = sorted({name for name, version in places if not _may_begin(name, version, step)})
        if lacking:
            raise UsageError(
                f"retry(from_step={step!r}): {', '.join(map(repr, lacking))} has no such step, so none of these runs "
                "was retried. Narrow them first: .filter(name=...)."
            )

    def _ids(self) -> Iterator[UUID]:
        """Yield the ids as they are now, in their order, read in pieces: a verb may take a row out of the filter."""
        ids = self.order_by("pk").values_list("pk", flat=True)
        last: UUID | None = None
        while True:
            chunk = list((ids if last is None else ids.filter(pk__gt=last))[:_CHUNK])
            yield from chunk
            if len(chunk) < _CHUNK:
                return
            last = chunk[-1]


_RunManager = models.Manager.from_queryset(WorkflowRunQuerySet)


class WorkflowRunManager(_RunManager["WorkflowRun"]):
    """Runs as users see them: without the tombstones that cleanup keeps for keys."""

    def get_queryset(self) -> WorkflowRunQuerySet:
        """Leave tombstones out, and look where the settings say that the runs are."""
        queryset = cast("WorkflowRunQuerySet", super().get_queryset())
        return queryset.using(self._db or database_alias()).filter(tombstone_at__isnull=True)


class WorkflowSignalQuerySet(_Signals):
    """Signals, narrowed by what one asks about them."""

    def undelivered(self, before: datetime | None = None) -> Self:
        """Narrow to signals whose delivery is not finished; `before`: and that were sent before this time."""
        pending = self.filter(pending=True)
        return pending if before is None else pending.filter(sent_at__lt=before)


_SignalManager = models.Manager.from_queryset(WorkflowSignalQuerySet)


class WorkflowSignalManager(_SignalManager["WorkflowSignal"]):
    """Every signal that is stored."""

    def get_queryset(self) -> WorkflowSignalQuerySet:
        """Look where the settings say that the signals are."""
        queryset = cast("WorkflowSignalQuerySet", super().get_queryset())
        return queryset.using(self._db or database_alias())


def _engine() -> Any:
    """The engine imports nothing of Django, but importing it here at the top would make it while models load."""
    from automation.workflows.core import engine

    return engine


def _took_effect(verb: Callable[[UUID], bool], run_id: UUID) -> bool:
    """Let one run that is past it, or gone, not stop the others."""
    try:
        return verb(run_id)
    except (IllegalTransition, UnknownRun):
        return False


def _may_begin(name: str, version: str, step: str) -> bool:
    """What this process's code does not have is left to the verb itself."""
    definition = registry.exact(name, version)
    return definition is None or (step in definition.steps and step != definition.on_fail)


def _is_known(place: Stranded) -> bool:
    definition = registry.exact(place.name, place.version)
    return definition is not None and place.step in definition.steps
