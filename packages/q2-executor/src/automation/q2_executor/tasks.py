"""What q2's workers call. Each task may be called twice, late, side by side, or by hand in tests: the rows decide."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django_q.exceptions import TimeoutException

from automation.q2_executor import sweeps
from automation.q2_executor.budget import Budget
from automation.q2_executor.conf import conf
from automation.q2_executor.executor import DELIVER_EVENT, EXECUTE_RUN, WAKE_EVENTS, again_now, gathered
from automation.q2_executor.instants import as_stored
from automation.q2_executor.sweeps import CLEANUP, EVENTS, WORKFLOWS

__all__ = [
    "cleanup_old_events",
    "deliver_event",
    "execute_run",
    "keep_sweeping",
    "poll_due_events",
    "process_scheduled_workflows",
    "wake_events",
]

logger = logging.getLogger("automation.q2_executor")


def execute_run(run_id: str, step_name: str | None = None) -> None:
    """Work on a run until its next pause, if it is there to be worked on."""
    if _has_time(EXECUTE_RUN, run_id, *filter(None, [step_name])):
        _survive(partial(_worker().execute_step, run_id, step_name), f"run {run_id}")


def deliver_event(using: str, *delivery_ids: str) -> None:
    """Make the calls that events owe to callbacks, on the database `using`."""
    if _has_time(DELIVER_EVENT, using, *delivery_ids):
        deliver = partial(_processor().deliver, [UUID(key) for key in delivery_ids], using=using)
        _survive(deliver, f"deliveries {delivery_ids}")


def wake_events() -> None:
    """Let events occur whose time has come; what a timer calls."""
    if _has_time(WAKE_EVENTS):
        _survive(partial(_poll, Budget()), "due events")


def process_scheduled_workflows() -> dict[str, Any]:
    """Sweep the runs: wake what is due, rescue what lost its worker, deliver what was sent."""
    return _sweep_runs(Budget())


def poll_due_events(hours: int = 24) -> dict[str, Any]:
    """Let due events occur and be delivered. `hours` is kept for the guide: what is older is not left out."""
    return _poll_events(Budget(), hours=hours)


def cleanup_old_events(days: int = 30) -> dict[str, Any]:
    """Delete the history of events older than `days` days, and what q2 keeps of our own failed tasks."""
    return _clean_up_events(Budget(), days=days)


def keep_sweeping(due: str) -> None:
    """See to it that the sweeps go on, when q2's scheduler does not; what the watchdog calls."""
    sweeps.watch(due, _SWEEPING, Budget())


def _sweep_runs(budget: Budget, began_at: datetime | None = None) -> dict[str, Any]:
    with gathered():
        swept = sweeps.run(WORKFLOWS, partial(_sweep, budget), began_at=began_at)
    if sweeps.is_first_today("upkeep"):
        _tidy_up()
    return swept


def _poll_events(budget: Budget, began_at: datetime | None = None, *, hours: int = 24) -> dict[str, Any]:
    return sweeps.run(EVENTS, partial(_poll, budget, hours), began_at=began_at)


def _clean_up_events(_: Budget, began_at: datetime | None = None, *, days: int = 30) -> dict[str, Any]:
    return sweeps.run(CLEANUP, partial(_clean_up, days), began_at=began_at)


_SWEEPING: Mapping[str, sweeps.Work] = {
    WORKFLOWS.name: _sweep_runs,
    EVENTS.name: _poll_events,
    CLEANUP.name: _clean_up_events,
}


def _sweep(budget: Budget) -> Mapping[str, Any]:
    """Sweep until there is no more, or the time is up.

    A sweep that q2 has to end would leave no heartbeat, and the cluster would look dead while it is busiest.
    """
    swept: Counter[str] = Counter()
    while True:
        done = _worker().process_scheduled(stop=budget.is_spent)
        swept.update({kind: done[kind] for kind in done.keys() - {"processed_at", "more"}})
        if not done.get("more") or budget.is_spent():
            return {**done, **swept}


def _poll(budget: Budget, hours: int = 24) -> Mapping[str, Any]:
    """Process due events while there is time; when it is up, leave the rest to another task at once."""
    done: Mapping[str, Any] = _processor().process_due_events(lookback_hours=hours, stop=budget.is_spent)
    if budget.was_spent:
        again_now(WAKE_EVENTS)
    return done


def _has_time(task: str, *args: str) -> bool:
    """Make up for overdue sweeps; return whether that has left time for the task itself, which else is sent again.

    First the sweep, because behind it there is a budget that it keeps to: a step takes as long as it takes.
    """
    if not sweeps.glance.is_due():
        return True
    budget = Budget()
    _survive(partial(_make_up, budget), "sweeps")
    if not budget.is_worth_mentioning():
        return True
    again_now(task, *args)
    return False


def _make_up(budget: Budget) -> None:
    try:
        sweeps.make_up(_SWEEPING, budget)
    except Exception:
        # The message at hand must not be lost for it: q2 acknowledges a task that raises.
        logger.exception("An overdue sweep could not be made up for.")


def _survive(work: Callable[[], Any], what: str) -> None:
    """Do the work; keep the worker process alive if user code tried to end it.

    The engine has recorded the failure by then. A worker that leaves is replaced only after half a second, and its
    message, which nobody has acknowledged, would come again for ever. A timeout goes on to q2, which handles it.
    """
    try:
        work()
    except TimeoutException:
        raise
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as leaving:
        logger.warning("User code of %s raised %r. It was recorded there; the worker goes on.", what, leaving)


def _clean_up(days: int) -> dict[str, Any]:
    return {**_processor().cleanup_old_events(days_old=days), "failures_deleted": _forget_failures()}


def _tidy_up() -> None:
    """Do what a storage of runs needs daily. It has no schedule of its own: the guide names three."""
    from automation.workflows.ports import wiring

    _forget_failures()
    if wiring.upkeep is not None:
        wiring.upkeep.clean_up()


def _forget_failures() -> int:
    from django_q.models import Failure

    before = as_stored(datetime.now(UTC) - conf().keep_failures)
    return int(Failure.objects.filter(func__startswith=f"{__name__}.", stopped__lt=before).delete()[0])


def _worker() -> Any:
    from automation.workflows.ports import wiring

    if wiring.worker is None:
        raise RuntimeError("There is no engine to work on runs. Add 'automation.workflows' to INSTALLED_APPS.")
    return wiring.worker


def _processor() -> Any:
    from automation.events.ports import wiring

    if wiring.processor is None:
        raise RuntimeError("No event processor is configured. Add 'automation.events' to INSTALLED_APPS.")
    return wiring.processor
