"""Questions and claims about what came of it all. A claim that does not hold shows the story of what it is about."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from automation.testing.commits import waiting_hooks
from automation.testing.contexts import is_on_context
from automation.testing.event_stories import call_story, event_story
from automation.testing.history import callback_name, deliveries_of, events_of, run_of, runs_of
from automation.testing.names import refuse_unknown_fields
from automation.testing.timeline import run_story

if TYPE_CHECKING:
    # For readers and editors only: neither package is needed to import this one.
    from automation.events.models import Event
    from automation.testing.clock import FakeClock
    from automation.testing.executor import FakeExecutor
    from automation.workflows.runs.values import Run

__all__ = ["Assertions"]

# A failure is shown at the line of the test: to pytest, and to unittest.
__tracebackhide__ = True
__unittest = True


class Assertions:
    """What a Harness tells and asserts. Where a run is asked for, pass a Run, a `WorkflowRun`, an id, or the workflow.

    A workflow (class or name) stands for its only run, or with `about=instance` for its only run about that instance;
    with more than one of them the failure lists them.

    What is asked to be on the Context is compared as the Context has it (`due=datetime(...)`, `amount=Decimal("1.50")`)
    or as it is stored, in JSON.
    """

    clock: "FakeClock"
    executor: "FakeExecutor"

    # Looking

    def run(self, run: Any, *, about: Any = None) -> "Run":
        """Return the run as it is stored now."""
        stored: Run = run_of(run, about)
        return stored

    def runs(self, workflow: Any = None, *, about: Any = None) -> "list[Run]":
        """Return the runs, oldest first: of one workflow, about one instance, or all."""
        return runs_of(workflow, about)

    def context(self, run: Any) -> dict[str, Any]:
        """Return the run's Context as stored: a dict of JSON values, empty before the run has begun."""
        return dict(run_of(run).data or {})

    def event(self, instance: Any, name: str) -> "Event":
        """Return the current event of this name about the instance."""
        found = events_of(instance, name)
        if not found:
            raise AssertionError(f"{instance!r} has no event {name!r}. {_known_events(instance)}")
        current: Event = found[-1]
        return current

    def timeline(self, run: Any) -> str:
        """Return the run's story: what it is, why it does not move, and each attempt."""
        return run_story(run_of(run))

    # Runs

    def assert_completed(self, run: Any, *, about: Any = None, **context: Any) -> "Run":
        """The run is COMPLETED, with these values on its Context. Gives the run, as all of these do."""
        return self._assert_run(self.run(run, about=about), "completed", context)

    def assert_failed(self, run: Any, match: str = "", *, about: Any = None, **context: Any) -> "Run":
        """The run is FAILED, with an error that `match` (a regular expression) is found in."""
        stored = self._assert_run(self.run(run, about=about), "failed", context)
        if not re.search(match, stored.error):
            raise self._failure(f"Expected an error that matches {match!r}.", stored)
        return stored

    def assert_cancelled(self, run: Any, *, about: Any = None, **context: Any) -> "Run":
        """The run is CANCELLED."""
        return self._assert_run(self.run(run, about=about), "cancelled", context)

    def assert_paused(self, run: Any, *, about: Any = None, **context: Any) -> "Run":
        """The run is PAUSED."""
        return self._assert_run(self.run(run, about=about), "paused", context)

    def assert_waiting(
        self,
        run: Any,
        *,
        about: Any = None,
        at: str | Callable[..., Any] | None = None,
        for_signal: str | None = None,
        for_event: str | None = None,
        until: datetime | str | None = None,
        **context: Any,
    ) -> "Run":
        """The run is WAITING: at this step (name or method), for this signal or event, until this moment, if given."""
        stored = self._assert_run(self.run(run, about=about), "waiting", context)
        signal = f"event:{for_event}" if for_event is not None else for_signal
        waits_for = stored.wait.signal if stored.wait is not None else ""
        if signal is not None and waits_for != signal:
            raise self._failure(f"Expected it to wait for {signal!r}.", stored)
        if until is not None and stored.wake_at != self.clock.instant(until):
            raise self._failure(f"Expected it to wait until {self.clock.instant(until)}.", stored)
        step = getattr(at, "__name__", at)
        if step is not None and stored.current_step != step:
            raise self._failure(f"Expected it to wait at step {step!r}.", stored)
        return stored

    def assert_no_run(self, workflow: Any = None, *, about: Any = None) -> None:
        """There is no such run at all."""
        for found in runs_of(workflow, about):
            raise self._failure("Expected that there is no such run.", found)

    # Events and callbacks

    def assert_occurred(self, instance: Any, name: str, *, times: int = 1) -> "Event":
        """The event has occurred, this many times in all. Gives the latest."""
        self._assert_event(instance, name, "occurred", times)
        return self.event(instance, name)

    def assert_not_occurred(self, instance: Any, name: str) -> None:
        """The event has never occurred."""
        self._assert_event(instance, name, "occurred", 0)

    def assert_pending(self, instance: Any, name: str, *, at: datetime | str | None = None) -> "Event":
        """The event lies ahead, at this moment where one is given."""
        self._assert_event(instance, name, "pending", 1)
        event = self.event(instance, name)
        if at is not None and event.at != self.clock.instant(at):
            raise AssertionError(f"Expected it at {self.clock.instant(at)}.\n{event_story(event)}")
        return event

    def assert_called(self, callback: Any, *, about: Any = None, times: int = 1) -> None:
        """The callback was called and returned, this many times, for events about the instance or any."""
        rows = deliveries_of(callback, about)
        delivered = [row for row in rows if row.status == "delivered"]
        if len(delivered) != times:
            stories = "\n".join(f"  {call_story(row)}" for row in rows)
            raise AssertionError(
                f"Expected {times} call(s) of {callback_name(callback)!r} that returned; there were {len(delivered)}. "
                f"Owed or made:\n{stories or '  none'}\n{self._moment()}"
            )

    def assert_not_called(self, callback: Any, *, about: Any = None) -> None:
        """The callback was never called with success."""
        self.assert_called(callback, about=about, times=0)

    # Inside

    def _assert_run(self, stored: "Run", status: str, context: dict[str, Any]) -> "Run":
        if stored.status != status:
            raise self._failure(f"Expected it to be {status.upper()}.", stored)
        refuse_unknown_fields(stored, context)
        wrong = {name: value for name, value in context.items() if not is_on_context(stored, name, value)}
        if wrong:
            raise self._failure(f"Expected on its Context: {wrong}.", stored)
        return stored

    def _failure(self, expectation: str, run: Any) -> AssertionError:
        return AssertionError(f"{expectation}\n{run_story(run)}\n{self._moment()}")

    def _moment(self) -> str:
        now = self.clock.now().strftime("%Y-%m-%d %H:%M:%S UTC")
        queue = str(self.executor).replace("\n", "\n  ")
        lines = [f"It is {now}, and in the queue:\n  {queue}"]
        if waiting := waiting_hooks():
            lines.append(
                f"{waiting} hook(s) wait for a commit: after saving by yourself, call automation.run_until_idle()."
            )
        return "\n".join(lines)

    def _assert_event(self, instance: Any, name: str, status: str, times: int) -> None:
        found = events_of(instance, name)
        if sum(event.status == status for event in found) != times:
            stories = "\n".join(event_story(event) for event in found) or _known_events(instance)
            raise AssertionError(
                f"Expected {name!r} to be {status.upper()} {times} time(s).\n{stories}\n{self._moment()}"
            )


def _known_events(instance: Any) -> str:
    names = sorted({event.event_name for event in events_of(instance)})
    if names:
        return f"It has: {', '.join(names)}."
    return (
        "It has none; is it saved, and does its model declare events? "
        "bulk_create and update() send no signals in Django: call Event.objects.sync(queryset) after them."
    )
