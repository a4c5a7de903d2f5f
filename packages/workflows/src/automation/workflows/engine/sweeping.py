"""The sweep: whatever the hints missed is found here, row by row, so that one bad row never stops the others."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from automation.workflows.engine.claiming import Claimer
from automation.workflows.engine.deadlines import past_deadline
from automation.workflows.engine.delivering import Postman
from automation.workflows.engine.faults import fault
from automation.workflows.engine.fitting import Absent, definition_of, fit
from automation.workflows.engine.hints import Hints
from automation.workflows.engine.moving import Mover
from automation.workflows.engine.operating import Operator
from automation.workflows.engine.runtime import Runtime
from automation.workflows.errors import StaleRun
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause
from automation.workflows.runs.decide import decide
from automation.workflows.runs.pausing import held_after
from automation.workflows.runs.values import Pause, Run, Unreadable, WorkflowStatus

__all__ = ["Sweeper"]

logger = logging.getLogger("automation.workflows")

TIMERS = 10
"""Timers are given to so many times more runs than are worked on: a timer is one message, and whoever has none waits
for the next sweep."""


class Sweeper:
    """Wakes what is due, rescues what lost its worker, delivers what was sent."""

    def __init__(  # noqa: PLR0917 - the parts that Engine puts together, each once
        self, runtime: Runtime, mover: Mover, hints: Hints, postman: Postman, claimer: Claimer, operator: Operator
    ) -> None:
        self._runtime = runtime
        self._mover = mover
        self._hints = hints
        self._postman = postman
        self._claimer = claimer
        self._operator = operator

    def sweep(self, limit: int, stop: Callable[[], bool]) -> Mapping[str, Any]:
        """Do at most `limit` of each; return what was done, `errors` included, and whether there is `more`.

        Idle, it asks three questions.
        """
        counts: Counter[str] = Counter()
        began_at = self._runtime.now()
        due = self._runtime.storage.due(began_at, limit)
        for run in due:
            if stop():
                break
            counts[self._guarded(run)] += 1
        # Rows that could not be moved may be the same ones at the next look, so they are no reason to look at once.
        more = len(due) == limit and counts.total() > counts["passed"] + counts["errors"]
        # Signals get a share also when the time is up, or a herd of due runs would keep them waiting for ever.
        counts["delivered"] = self._deliver(max(1, limit // 10) if stop() else limit, counts)
        more = more or counts["delivered"] >= limit or stop()
        counts["hinted"] += self._hint(limit * TIMERS)
        known = ("woken", "rescued", "hinted", "resumed", "failed", "delivered", "passed", "errors")
        return {"processed_at": began_at, **{name: counts[name] for name in known}, "more": more}

    def _guarded(self, run: Run | Unreadable) -> str:
        """Handle one row; whatever it raises is counted, and the row is put back so as not to crowd the sweep."""
        if isinstance(run, Unreadable):
            return "errors"
        fault("sweep.before_row")
        try:
            with self._runtime.storage.transaction():
                done = self._row(run)
        except StaleRun:
            return "passed"
        except Exception:
            # One poisoned row must never stop the others; it stays visible by the log, the count and its own `next_at`.
            logger.exception("Run %s could not be swept.", run.id, extra={"run_id": str(run.id)})
            self._put_back(run)
            return "errors"
        fault("sweep.after_row")
        return done

    def _row(self, run: Run) -> str:
        match run.status:
            case WorkflowStatus.READY | WorkflowStatus.WAITING if over := past_deadline(self._runtime, run):
                self._mover.apply([over])
                return "passed" if over.after.status is run.status else "failed"
            case WorkflowStatus.READY:
                return self._hint_again(run)
            case WorkflowStatus.WAITING:
                return self._move(run, causes.Due(position=self._runtime.mailbox.position()), "woken")
            case WorkflowStatus.RUNNING:
                return self._lost(run)
            case WorkflowStatus.PAUSED:
                return self._back(run)
            case _:
                return "passed"

    def _hint_again(self, run: Run) -> str:
        self._move(run, causes.Postponed(until=self._runtime.now() + self._runtime.policy.rehint), "")
        self._hints.give([run.id])
        return "hinted"

    def _lost(self, run: Run) -> str:
        policy, now = self._runtime.policy, self._runtime.now()
        if run.claim_expires_at is not None and run.claim_expires_at > now:
            return "passed"
        reason = "its worker did not come back before the claim ended"
        position = self._runtime.mailbox.position()
        cause = causes.Lost(limit=policy.lost_limit, reason=reason, position=position)
        lost = decide(run, cause, definition_of(self._runtime.registry, run), now)
        # A pause that was asked for while the lost worker held the run takes effect now.
        self._mover.apply([held_after(lost, now)])
        return "rescued"

    def _back(self, run: Run) -> str:
        """Let a run that was paused for its code go on, if this code has it."""
        if run.pause not in {Pause.MISSING, Pause.CONTEXT}:
            return "passed"
        found = fit(self._runtime.registry, run)
        if isinstance(found, Absent):
            cause = self._claimer.missing(run, found, self._runtime.now())
            return self._move(run, cause, "passed")
        self._operator.let_go_on(run)
        return "resumed"

    def _move(self, run: Run, cause: Cause, done: str) -> str:
        self._mover.move(run, cause)
        return done

    def _put_back(self, run: Run) -> None:
        """Look at it again later; if even that fails, the row stays where it is and the next sweep meets it first."""
        later = self._runtime.now() + self._runtime.policy.rehint
        # What must be looked at when a claim ends is put back by a later end.
        is_held = run.status is WorkflowStatus.RUNNING
        cause = causes.Renewed(until=later) if is_held else causes.Postponed(until=later)
        try:
            with self._runtime.storage.transaction():
                self._mover.move(run, cause)
        except Exception:
            # The first error is reported already.
            logger.debug("Run %s could not be put back.", run.id, exc_info=True)

    def _deliver(self, limit: int, counts: "Counter[str]") -> int:
        """Deliver name by name; a name that fails is counted and does not stop the others."""
        woken = 0
        for name in {signal.name: None for signal in self._runtime.mailbox.undelivered(limit)}:
            woken += self._isolated(lambda name=name: self._postman.deliver(name, limit), counts)  # type: ignore[misc]
        return woken

    def _isolated(self, work: Callable[[], int], counts: "Counter[str]") -> int:
        try:
            return work()
        except Exception:
            # The storage failed for this one; it is stored as undelivered, and the next sweep repeats it.
            logger.exception("A signal could not be delivered by the sweep.")
            counts["errors"] += 1
            return 0

    def _hint(self, limit: int) -> int:
        """Return the executor timers for what is due before the next sweep."""
        executor = self._runtime.wiring.executor
        if executor is None or not executor.horizon:
            return 0
        now = self._runtime.now()
        upcoming = self._runtime.storage.upcoming(now, now + executor.horizon, limit)
        for run_id, next_at in upcoming:
            self._hints.give([run_id], next_at)
        return len(upcoming)
