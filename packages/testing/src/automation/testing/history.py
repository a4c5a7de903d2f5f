"""What is stored about runs, events and deliveries, read for a test to look at."""

from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import Any
from uuid import UUID

from automation.testing.installed import (
    events_aliases,
    events_models,
    refuse_under_loop,
    registry,
    workflows_models,
    workflows_wiring,
)
from automation.testing.names import (
    refuse_no_instance,
    refuse_unknown_callback,
    refuse_unknown_event,
    refuse_unknown_workflow,
)
from automation.testing.starting import what_starts

__all__ = [
    "attempts_of",
    "callback_name",
    "deliveries_of",
    "events_of",
    "reference",
    "run_of",
    "runs_of",
    "signals_nobody_took",
    "signals_taken",
    "workflow_name",
]


def runs_of(workflow: Any = None, about: Any = None) -> list[Any]:
    """Return the runs, oldest first: of one workflow (a class or a name), about one instance, or all.

    Like what follows, raises for a name that nothing has.
    """
    name = None if workflow is None else workflow_name(workflow)
    subjects = None if about is None else _names_of(about)
    runs = [run for run in _all_runs(name) if name in {None, run.name}]
    if name is not None and not runs:
        refuse_unknown_workflow(name)
    return [
        run
        for run in sorted(runs, key=lambda run: (run.created_at, run.id))
        if subjects is None or run.entity in subjects
    ]


def run_of(run: Any, about: Any = None) -> Any:
    """Return a run as it is stored now. `run` is a Run, a row, an id, or the workflow of which there is just one run.

    With `about`, the workflow needs to have just one run about that instance. Raises AssertionError where there is no
    such run, or more than one.
    """
    run_id = _as_id(getattr(run, "id", run))
    if isinstance(run_id, UUID):
        stored = _storage().load(run_id)
        if stored is None:
            raise AssertionError(f"There is no run {run_id}.")
        return stored
    found = runs_of(run, about)
    if len(found) != 1:
        raise AssertionError(_not_one(run, found, about))
    return found[0]


def attempts_of(run_id: UUID) -> Sequence[Any]:
    """Return what was tried of a run's steps, oldest first."""
    storage = _storage()
    if hasattr(storage, "alias"):
        return list(_models().WorkflowAttempt.objects.using(storage.alias).filter(run_id=run_id).order_by("revision"))
    return list(storage.attempts(run_id))


def signals_taken(run_id: UUID) -> Sequence[Any]:
    """Return the stored signals that a run has consumed, in that order; none where the storage does not tell."""
    storage = _storage()
    if hasattr(storage, "alias"):
        models = _models()
        receipts = models.WorkflowReceipt.objects.using(storage.alias).filter(run_id=run_id).order_by("pk")
        ids = list(receipts.values_list("signal_id", flat=True))
        signals = models.WorkflowSignal.objects.using(storage.alias).filter(signal_id__in=ids)
        return sorted(signals, key=lambda signal: ids.index(signal.signal_id))
    if not _tells_of_signals(storage):
        return []
    known = {signal.id: signal for signal in storage.signals()}
    return [known[signal_id] for taker, signal_id in storage.receipts() if taker == run_id and signal_id in known]


def signals_nobody_took(since: datetime) -> Sequence[Any]:
    """Return the stored signals that no run has consumed, as they were sent; none where the storage does not tell."""
    storage = _storage()
    if hasattr(storage, "alias"):
        models = _models()
        taken = models.WorkflowReceipt.objects.using(storage.alias).values("signal_id")
        signals = models.WorkflowSignal.objects.using(storage.alias).filter(sent_at__gte=since)
        return list(signals.exclude(signal_id__in=taken).order_by("pk"))
    if not _tells_of_signals(storage):
        return []
    consumed = {signal_id for _, signal_id in storage.receipts()}
    return [signal for signal in storage.signals() if signal.sent_at >= since and signal.id not in consumed]


def events_of(instance: Any, name: str | None = None) -> list[Any]:
    """Return the events of an instance as they are stored now, oldest occurrence first; of one name, or all."""
    refuse_no_instance(instance)
    events = [event for event in _events().Event.objects.for_entity(instance) if name in {None, event.event_name}]
    if name is not None and not events:
        refuse_unknown_event(instance, name)
    return events


def deliveries_of(callback: Any, instance: Any = None) -> list[Any]:
    """Return the calls owed to and made of a callback (the function or its name), for one instance or all."""
    name = callback_name(callback)
    models = _events()
    rows = [
        row
        for alias in events_aliases()
        for row in models.EventDelivery.objects.using(alias).filter(callback=name).select_related("event")
    ]
    rows.sort(key=lambda row: (row.created_at, row.pk))
    if not rows:
        refuse_unknown_callback(name)
    if instance is None:
        return rows
    events = {event.pk for event in events_of(instance)}
    return [row for row in rows if row.event_id in events]


def callback_name(callback: Any) -> str:
    """Return the name under which the calls of a callback are stored: the one it was registered with."""
    if isinstance(callback, str):
        return callback
    for registered in import_module("automation.events.callbacks").callback_registry.all():
        if registered.function is callback:
            return str(registered.name)
    return f"{callback.__module__}.{callback.__qualname__}"


def workflow_name(workflow: Any) -> str:
    """Return the name under which the runs of a workflow are stored."""
    if isinstance(workflow, str):
        return workflow
    return str(registry().to_start(workflow).name)


def reference(instance: Any) -> str:
    """Return `app_label.model:pk` of an instance, as runs and events name what they are about."""
    refuse_no_instance(instance)
    return f"{instance._meta.concrete_model._meta.label_lower}:{instance.pk}"


def _names_of(instance: Any) -> Sequence[Any]:
    """Return what runs may call an instance: as `WorkflowRun.objects.for_entity`, its multi-table parents count."""
    refuse_no_instance(instance)
    names: Sequence[Any] = import_module("automation.workflows.authoring.entities").names_of(instance)
    return names


def _as_id(given: Any) -> Any:
    """Return a UUID for its text, as an admin page or a log shows it; anything else as it is."""
    try:
        return UUID(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _all_runs(name: str | None) -> list[Any]:
    storage = _storage()
    if not hasattr(storage, "alias"):
        if not hasattr(storage, "runs"):
            raise RuntimeError(f"{storage!r} cannot list its runs. Ask about one run, by the Run or its id.")
        return list(storage.runs())
    rows = _models().WorkflowRun.objects.using(storage.alias)
    ids = (rows if name is None else rows.filter(name=name)).values_list("pk", flat=True)
    return [run for run in map(storage.load, ids) if run is not None]


def _tells_of_signals(storage: Any) -> bool:
    """Return whether a storage without tables can be asked for signals and who took them, as MemoryStorage can."""
    return hasattr(storage, "signals") and hasattr(storage, "receipts")


def _events() -> Any:
    refuse_under_loop()
    models = events_models()
    if models is None:
        raise RuntimeError("This needs events: add 'automation.events' to INSTALLED_APPS.")
    return models


def _storage() -> Any:
    refuse_under_loop()
    wiring = workflows_wiring()
    if wiring is None or wiring.storage is None:
        raise RuntimeError(
            "There are no runs to look at: the engine has no storage. Add 'automation.workflows' to INSTALLED_APPS, "
            "or use Harness(storage=MemoryStorage())."
        )
    return wiring.storage


def _models() -> Any:
    models = workflows_models()
    assert models is not None, "a storage with an alias is DjangoStorage, which is bound by the app"
    return models


def _not_one(workflow: Any, found: Sequence[Any], about: Any) -> str:
    wanted = repr(workflow_name(workflow)) + (f" about {reference(about)}" if about is not None else "")
    if found:
        listed = "\n".join(f"  {run.id}{f' about {run.entity}' if run.entity else ''} {run.status}" for run in found)
        return f"There are {len(found)} runs of {wanted}; say which one, by its run or id, or by about=...:\n{listed}"
    names = sorted(
        {run.name + (f" about {run.entity}" if about is not None and run.entity else "") for run in runs_of()}
    )
    others = f"There are runs of: {', '.join(names)}." if names else "There is no run at all."
    return f"There is no run of {wanted}. {others}{what_starts(workflow_name(workflow), about)}"
