"""Work that does not come to an end, found before the patience of whoever runs the test is."""

from datetime import timedelta
from typing import Any

from automation.testing.installed import workflows_wiring
from automation.testing.owed import Owed
from automation.testing.timeline import run_story

__all__ = ["NeverIdleError", "refuse_a_long_sleep", "refuse_a_loop"]

_LONGEST_SLEEPS = timedelta(days=366)
_MOST_SLEEPS = 1_000


class NeverIdleError(AssertionError):
    """Work goes on making more work that is due at once."""


def refuse_a_loop(run_id: Any, times: int) -> None:
    """Raise NeverIdleError for a run that could still go on at once, after having been taken up this many times."""
    run = workflows_wiring().storage.load(run_id) if Owed().sees_runs else None
    if run is not None and run.status == "ready":
        raise NeverIdleError(
            f"Workflow {run.name!r} goes on and on without coming to a pause, now at step {run.current_step!r}. "
            f"In this one moment it was taken up {times} times, for up to 100 steps each. "
            f"If it is meant to be that long, raise automation.executor.patience.\n{run_story(run)}"
        )


def refuse_a_long_sleep(run: Any, slept: int, skipped: timedelta) -> None:
    """Raise NeverIdleError for a run that sleeps again after more than a year, or a thousand sleeps, were skipped."""
    if slept >= _MOST_SLEEPS or skipped > _LONGEST_SLEEPS:
        raise NeverIdleError(
            f"Workflow {run.name!r} sleeps again and again: {slept} sleeps were skipped, and the next one would end "
            f"{skipped} after the first began. A workflow that repeats is moved by automation.advance(...).\n"
            f"{run_story(run)}"
        )
