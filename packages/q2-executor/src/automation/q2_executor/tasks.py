"""What q2's workers call. Each task may be called twice, late, side by side, or by hand in tests: the rows decide."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django_q.exceptions import TimeoutException

from automation.q2_executor import sweeps
from automation.q2_executor.budget import Budget
from automation.q2_executor.conf import conf
from automation.q2_executor.executor import again_now, gathered
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
    _survive(partial(_worker().execute_step, run_id, step_name), f"run {run_id}")
    _look_after_sweeps()


def deliver_event(using: str, *delivery_ids: str) -> None:
    """Make the calls that events owe to callbacks, on the database `using`."""
    deliver = _processor().deliver
    _survive(lambda: deliver([UUID(key) for key in delivery_ids], using=using), f"deliveries {delivery_ids}")
    _look_after_sweeps()


def wake_events() -> None:
    """Let events occur whose time has come; what a timer calls."""
    _survive(_poll, "due events")
    _look_after_sweeps()


def process_scheduled_workflows() -> dict[str, Any]:
    """Sweep the runs: wake what is due, rescue what lost its worker, deliver what was sent."""
    with gathered():
        swept = sweeps.run(WORKFLOWS, _sweep)
    if sweeps.is_first_today("upkeep"):
        _tidy_up()
    return swept


def poll_due_events(hours: int = 24) -> dict[str, Any]:
    """Let due events occur and be delivered. `hours` is kept for the guide: what is older is not left out."""
    return sweeps.run(EVENTS, lambda: _poll(hours))


def cleanup_old_events(days: int = 30) -> dict[str, Any]:
    """Delete the history of events older than `days` days, and what q2 keeps of our own failed tasks."""
    return sweeps.run(CLEANUP, lambda: _clean_up(days))


def keep_sweeping(due: str) -> None:
    """See to it that the sweeps go on, when q2's scheduler does not; what the link calls."""
    sweeps.follow_link(due, _sweeping())


def _sweep() -> Mapping[str, Any]:
    """Sweep while there is time, and leave the rest to the next sweep.

    One that q2 has to end would leave no heartbeat, and the cluster would look dead while it is busiest.
    """
    swept: Mapping[str, Any] = _worker().process_scheduled(stop=Budget().is_spent)
    return swept


def _poll(hours: int = 24) -> Mapping[str, Any]:
    """Process due events while there is time; when it is up, leave the rest to another task at once."""
    budget = Budget()
    done: Mapping[str, Any] = _processor().process_due_events(lookback_hours=hours, stop=budget.is_spent)
    if budget.was_spent:
        again_now()
    return done


def _sweeping() -> Mapping[str, Callable[[], Any]]:
    return {
        WORKFLOWS.name: process_scheduled_workflows,
        EVENTS.name: poll_due_events,
        CLEANUP.name: cleanup_old_events,
    }


def _look_after_sweeps() -> None:
    if sweeps.glance.is_due():
        sweeps.make_up(_sweeping())


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
