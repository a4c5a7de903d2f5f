"""Sending a signal: checked, stored in the sender's transaction, delivered after its commit."""

import json
import logging
from typing import Any
from uuid import UUID

from automation.workflows.authoring.contexts import load, merge
from automation.workflows.authoring.payloads import check_json, check_text
from automation.workflows.authoring.results import EVENT_PREFIX, NAME_LENGTH, checked_key
from automation.workflows.engine.async_verbs import is_under_loop
from automation.workflows.engine.fitting import definition_of
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.runtime import Runtime
from automation.workflows.engine.scope import running_scope
from automation.workflows.errors import PayloadError, UnknownRun, UsageError
from automation.workflows.runs.children import CHILDREN_PREFIX
from automation.workflows.runs.matching import unaccepted
from automation.workflows.runs.values import Run, Signal, WorkflowStatus

__all__ = ["Signaller"]

logger = logging.getLogger("automation.workflows")


class Signaller:
    """Sends signals."""

    def __init__(self, runtime: Runtime, mover: Mover) -> None:
        self._runtime = runtime
        self._mover = mover

    def signal(self, name: str, payload: Any, key: str | None, run_id: UUID | None) -> UUID:
        """Store a signal in the caller's transaction, or, inside a step, at its commit; return its id."""
        _check_name(name)
        signal = Signal(
            id=self._runtime.new_id(),
            name=name,
            payload=self._checked_payload(payload),
            key=None if key is None else checked_key(key),
            run_id=run_id,
            sent_at=self._runtime.now(),
        )
        scope = running_scope()
        if scope is not None:
            if run_id is not None and not is_under_loop():
                self._check_fits(self._runtime.storage.load(run_id), signal)
            scope.buffer.signal(signal, self._runtime.policy.signals_per_step)
            return signal.id
        with self._runtime.storage.transaction():
            if run_id is not None:
                self._check_fits(self._known(run_id, signal), signal)
            self._mover.post([signal])
        return signal.id

    def _known(self, run_id: UUID, signal: Signal) -> Run:
        run = self._runtime.storage.load(run_id)
        if run is None:
            raise UnknownRun(f"There is no run {run_id} to send signal {signal.name!r} to.")
        return run

    def _checked_payload(self, payload: Any) -> dict[str, Any] | None:
        if payload is None:
            return None
        if not isinstance(payload, dict):
            raise PayloadError(f"payload is a {type(payload).__name__}. Send a dict with text keys, or nothing.")
        check_json(payload, self._runtime.policy.payload)
        # A copy: what the sender does to its own dict afterwards is neither checked nor meant.
        copied: dict[str, Any] = json.loads(json.dumps(payload))
        return copied

    def _check_fits(self, run: Run | None, signal: Signal) -> None:
        """With one receiver, its Context can be asked at once; without its code at hand, it is asked at delivery.

        A step may send to a run that it starts itself: that one is not stored yet.
        """
        if run is None:
            return
        if run.status.is_terminal:
            retried = "; a retry may yet hear it" if run.status is WorkflowStatus.FAILED else ""
            told = "Signal %r was sent to run %s of %r, which is %s%s."
            logger.warning(told, signal.name, run.id, run.name, run.status, retried, extra={"run_id": str(run.id)})
        rejected = self._rejected(run, signal)
        if rejected:
            listed = "; ".join(f"{field}: {reason}" for field, reason in rejected.items())
            raise PayloadError(f"The payload does not fit the Context of {run.name!r} (run {run.id}): {listed}")

    def _rejected(self, run: Run, signal: Signal) -> dict[str, str]:
        definition = definition_of(self._runtime.registry, run)
        if definition is None or run.data is None or not signal.payload:
            return {}
        try:
            load(definition.context, run.data)
        except Exception:  # noqa: BLE001 - validators are the author's code; a Context that does not fit is found at the claim
            return {}
        refused = unaccepted(run.wait, signal.payload) if run.wait and run.wait.signal == signal.name else {}
        payload = {key: value for key, value in signal.payload.items() if key not in refused}
        return {**refused, **merge(definition.context, run.data, payload).rejected}


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH:
        raise UsageError(f"The name of a signal is text of 1 to {NAME_LENGTH} characters, not {name!r:.300}.")
    check_text(name, "name")
    if name.startswith(EVENT_PREFIX):
        raise UsageError(
            f"Signal {name!r} is an event's: only an event that occurs sends it. Save the model, or take another name."
        )
    if name.startswith(CHILDREN_PREFIX):
        raise UsageError(f"Signal {name!r} is sent by ending child runs alone. Choose another name.")
