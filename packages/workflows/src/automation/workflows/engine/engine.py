"""The engine: verbs for people and for queues. Each is one sentence; the work is in the modules beside it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from automation.workflows.authoring.registry import Registry
from automation.workflows.authoring.registry import registry as the_registry
from automation.workflows.engine.async_verbs import in_thread, refuse_under_loop
from automation.workflows.engine.buffer import Order
from automation.workflows.engine.claiming import Claimer
from automation.workflows.engine.delivering import Postman
from automation.workflows.engine.finishing import Finisher
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.occurring import Occurring
from automation.workflows.engine.operating import Operator
from automation.workflows.engine.runtime import Runtime
from automation.workflows.engine.signalling import Signaller
from automation.workflows.engine.starting import Starter
from automation.workflows.engine.sweeping import Sweeper
from automation.workflows.engine.working import Worker
from automation.workflows.errors import UsageError
from automation.workflows.ports.clock import Clock
from automation.workflows.ports.executor import Executor
from automation.workflows.ports.storage import Storage
from automation.workflows.ports.wiring import Wiring
from automation.workflows.runs.values import Occurrence, Run

__all__ = ["Engine"]


class Engine:
    """Starts, moves and works on runs, with whatever storage, executor and clock are plugged in."""

    def __init__(self, wiring: Wiring, registry: Registry = the_registry) -> None:
        self.wiring = wiring
        self.registry = registry
        runtime = Runtime(wiring, registry)
        hints = Hints(runtime)
        mover = Mover(runtime, hints)
        postman = Postman(runtime, mover)
        mover.announce = postman.announce
        self._starter = Starter(runtime, hints)
        self._operator = Operator(runtime, mover)
        self._signaller = Signaller(runtime, mover)
        self._occurring = Occurring(runtime, mover, hints, self._starter)
        claimer = Claimer(runtime, mover, hints)
        finisher = Finisher(runtime, mover, self._starter, self._operator, claimer)
        self._worker = Worker(runtime, mover, claimer, finisher)
        self._sweeper = Sweeper(runtime, mover, hints, postman, claimer, self._operator)
        wiring.worker = self

    def bind(
        self, *, storage: Storage | None = None, executor: Executor | None = None, clock: Clock | None = None
    ) -> None:
        """Plug adapters in; what is not given stays as it is."""
        self.wiring.storage = storage or self.wiring.storage
        self.wiring.executor = executor or self.wiring.executor
        self.wiring.clock = clock or self.wiring.clock

    def start(self, workflow: str | type, /, *, run_key: str | None = None, **kwargs: Any) -> Run:
        """Start a run of `workflow` (name or class) with the Context that `kwargs` make.

        The run is written in the caller's transaction: a rollback leaves nothing. With `run_key` a second start gives
        the first run. Inside a step the start happens at the step's commit; the id is final at once.
        """
        refuse_under_loop("start")
        return self._starter.start(workflow, run_key, kwargs)

    def signal(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        run_id: UUID | str | None = None,
    ) -> UUID:
        """Send a signal to whoever waits for it, now or later; return its id.

        `key` says what it is about, `run_id` names the one run it is for. Stored in the caller's transaction; outside
        of one, the first 500 waiting runs are woken before this returns, the others by the sweep.
        """
        refuse_under_loop("signal")
        return self._signaller.signal(name, payload, key, None if run_id is None else _uuid(run_id))

    def cancel(self, run_id: UUID | str, *, reason: str = "cancelled by hand") -> bool:
        """Call a run off, with its children; return whether this did it. One that has ended, or is unknown, is left."""
        refuse_under_loop("cancel")
        return self._operator.order(Order(verb="cancel", run_id=_uuid(run_id), reason=reason))

    def pause(self, run_id: UUID | str, *, reason: str = "paused by hand") -> bool:
        """Hold a run; a step that is running finishes first. Tell whether it had not ended already."""
        refuse_under_loop("pause")
        return self._operator.order(Order(verb="pause", run_id=_uuid(run_id), reason=reason))

    def resume(self, run_id: UUID | str) -> bool:
        """Let a paused run go on. What came meanwhile counts. Raises IllegalTransition when it is not paused."""
        refuse_under_loop("resume")
        return self._operator.order(Order(verb="resume", run_id=_uuid(run_id)))

    def retry(self, run_id: UUID | str, from_step: str | None = None) -> bool:
        """Have a FAILED run try again. Raises IllegalTransition otherwise.

        Without `from_step` the visit that failed goes on, with its idempotency key and what woke it; with it, a new one
        begins. Either way its attempts count anew.
        """
        refuse_under_loop("retry")
        return self._operator.order(Order(verb="retry", run_id=_uuid(run_id), step=from_step))

    def execute_step(self, run_id: UUID | str, step_name: str | None = None) -> None:
        """Work on a run until its next pause, if it is there to be worked on; else change nothing. Queues call this."""
        refuse_under_loop("execute_step")
        self._worker.work(_uuid(run_id), step_name)

    def process_scheduled(self, limit: int = 1000, *, stop: Callable[[], bool] = lambda: False) -> Mapping[str, Any]:
        """Wake what is due, rescue what lost its worker, deliver what was sent: at most `limit` of each.

        `stop` is asked between two runs; when it says so, the rest is left to the next sweep. Return what was done, by
        kind, and in `more` whether there may be more to do at once.
        """
        refuse_under_loop("process_scheduled")
        return self._sweeper.sweep(limit, stop)

    def handle_event_occurred(self, event: Any) -> list[Run]:
        """Start the workflows that an event starts; give their runs, also those that it had started before."""
        refuse_under_loop("handle_event_occurred")
        return self._occurring.handle(event)

    def plan(self, occurrences: Sequence[Occurrence]) -> None:
        """Reserve the starts that lie before these events. Idempotent."""
        self._occurring.plan(occurrences)

    def move(self, occurrences: Sequence[Occurrence]) -> None:
        """Move the reserved starts of these events to their new dates. Idempotent."""
        self._occurring.move(occurrences)

    def withdraw(self, occurrences: Sequence[Occurrence], reason: str) -> None:
        """Cancel what these events have reserved and what has not begun. Idempotent."""
        self._occurring.withdraw(occurrences, reason)

    def occurred(self, occurrences: Sequence[Occurrence]) -> None:
        """Start what these events start and wake what waits for them. Idempotent."""
        self._occurring.occurred(occurrences)

    async def astart(self, workflow: str | type, /, *, run_key: str | None = None, **kwargs: Any) -> Run:
        """`start` under an event loop."""
        return await in_thread(self.start, workflow, run_key=run_key, **kwargs)

    async def asignal(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        run_id: UUID | str | None = None,
    ) -> UUID:
        """`signal` under an event loop."""
        return await in_thread(self.signal, name, payload, key=key, run_id=run_id)

    async def acancel(self, run_id: UUID | str, *, reason: str = "cancelled by hand") -> bool:
        """`cancel` under an event loop."""
        return await in_thread(self.cancel, run_id, reason=reason)

    async def apause(self, run_id: UUID | str, *, reason: str = "paused by hand") -> bool:
        """`pause` under an event loop."""
        return await in_thread(self.pause, run_id, reason=reason)

    async def aresume(self, run_id: UUID | str) -> bool:
        """`resume` under an event loop."""
        return await in_thread(self.resume, run_id)

    async def aretry(self, run_id: UUID | str, from_step: str | None = None) -> bool:
        """`retry` under an event loop."""
        return await in_thread(self.retry, run_id, from_step)

    async def aexecute_step(self, run_id: UUID | str, step_name: str | None = None) -> None:
        """`execute_step` under an event loop."""
        await in_thread(self.execute_step, run_id, step_name)

    async def aprocess_scheduled(self, limit: int = 1000) -> Mapping[str, Any]:
        """`process_scheduled` under an event loop."""
        return await in_thread(self.process_scheduled, limit)

    async def ahandle_event_occurred(self, event: Any) -> list[Run]:
        """`handle_event_occurred` under an event loop."""
        return await in_thread(self.handle_event_occurred, event)


def _uuid(run_id: UUID | str) -> UUID:
    if isinstance(run_id, UUID):
        return run_id
    try:
        return UUID(str(run_id))
    except ValueError:
        raise UsageError(f"{run_id!r} is not the id of a run. Pass run.id, a UUID.") from None
