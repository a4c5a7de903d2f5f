"""What a save causes, looked at before any of it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from automation.testing.history import callback_name, workflow_name
from automation.testing.installed import events_aliases, events_models, workflows_models, workflows_wiring
from automation.testing.names import refuse_unknown_callback, refuse_unknown_workflow
from automation.testing.owed import Owed

__all__ = ["Recording", "deliveries_held", "recorded"]


@dataclass(slots=True)
class Recording:
    """What a block caused; complete once the block has been left."""

    occurred: list[str] = field(default_factory=list)
    """Names of events that occurred."""
    armed: list[str] = field(default_factory=list)
    """Names of events that were made and lie ahead, or wait for their condition."""
    moved: list[str] = field(default_factory=list)
    """Names of events that lay ahead already and got another date, or none."""
    cancelled: list[str] = field(default_factory=list)
    """Names of events that will not occur any more."""
    callbacks: list[str] = field(default_factory=list)
    """Names of callbacks that are owed a call, now or later, one for each call."""
    workflows: list[str] = field(default_factory=list)
    """Names of workflows that were started, or reserved for a later time."""
    signals: list[str] = field(default_factory=list)
    """Names of signals that were sent, those of events (`event:...`) included."""

    def calls(self, callback: Any) -> bool:
        """Return whether the callback (the function or its name) is owed a call."""
        name = callback_name(callback)
        if name not in self.callbacks:
            refuse_unknown_callback(name)
        return name in self.callbacks

    def starts(self, workflow: Any) -> bool:
        """Return whether the workflow (the class or its name) was started or reserved."""
        name = workflow_name(workflow)
        if name not in self.workflows:
            refuse_unknown_workflow(name)
        return name in self.workflows

    def __str__(self) -> str:
        kinds = ("occurred", "armed", "moved", "cancelled", "callbacks", "workflows", "signals")
        return "\n".join(f"{kind}: {', '.join(getattr(self, kind)) or 'none'}" for kind in kinds)


@contextmanager
def recorded(commit: Callable[[], object]) -> Iterator[Recording]:
    """Fill a Recording with what is stored at the end of the block and was not at its beginning."""
    owed = Owed()
    # What was saved before the block and not yet followed by its commit is not of the block.
    commit()
    before = _stored(owed)
    recording = Recording()
    yield recording
    commit()
    after = _stored(owed)
    for kind, rows in after.items():
        found = [key for key in rows if key not in before.get(kind, {})]
        if kind == "moved":
            found = [(key, at) for key, at in found if key in before["armed"]]
        setattr(recording, kind, [rows[key] for key in found])


@contextmanager
def deliveries_held() -> Iterator[None]:
    """Let calls that would follow a commit in this process stay owed instead."""
    if events_models() is None:
        yield
        return
    with import_module("automation.events.inline").held():
        yield


def _stored(owed: Owed) -> dict[str, dict[Any, str]]:
    stored: dict[str, dict[Any, str]] = {}
    if owed.sees_events:
        stored |= _stored_events()
    if owed.sees_runs:
        stored |= _stored_runs()
    return stored


def _stored_events() -> dict[str, dict[Any, str]]:
    models = events_models()
    assert models is not None, "asked only where events are installed"
    stored: dict[str, dict[Any, str]] = {"occurred": {}, "armed": {}, "moved": {}, "cancelled": {}, "callbacks": {}}
    for alias in events_aliases():
        events = models.Event.objects.using(alias).order_by("created_at", "pk")
        calls = models.EventDelivery.objects.using(alias).exclude(phase="relay").order_by("created_at", "pk")
        stored["occurred"] |= dict(events.filter(status="occurred").values_list("pk", "event_name"))
        stored["cancelled"] |= dict(events.filter(status="cancelled").values_list("pk", "event_name"))
        for key, name, at in events.filter(status="pending").values_list("pk", "event_name", "at"):
            stored["armed"][key] = name
            stored["moved"][key, at] = name
        stored["callbacks"] |= dict(calls.values_list("pk", "callback"))
    return stored


def _stored_runs() -> dict[str, dict[Any, str]]:
    storage = workflows_wiring().storage
    models = workflows_models()
    if models is None or not hasattr(storage, "alias"):
        return {
            "workflows": {run.id: run.name for run in storage.runs()},
            "signals": {signal.id: signal.name for signal in storage.signals()},
        }
    runs = models.WorkflowRun.objects.using(storage.alias).order_by("created_at", "pk")
    signals = models.WorkflowSignal.objects.using(storage.alias).order_by("pk")
    return {
        "workflows": dict(runs.values_list("pk", "name")),
        "signals": dict(signals.values_list("pk", "name")),
    }
