"""The numbers by which the engine works. The Django shell fills them from `AUTOMATION_WORKFLOWS`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from automation.workflows.authoring.payloads import JsonLimits

__all__ = ["Policy"]


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits, durations and sizes. Every one has a default that fits a small project."""

    step_timeout: timedelta = timedelta(seconds=60)
    """How long a step without `timeout=` may take before another worker may take its run over."""
    claim_margin: timedelta = timedelta(seconds=10)
    """A claim lasts this much longer than the step's timeout: what storing the result may take."""
    steps_per_claim: int = 100
    """After so many steps a worker gives the run back to the queue, so that others get their turn."""
    time_per_claim: timedelta = timedelta(seconds=10)
    """After so long a worker gives the run back, once its step has ended."""
    lost_limit: int = 5
    """A run that loses this many workers in one visit of a step fails."""
    missing_grace: timedelta = timedelta(seconds=60)
    """How long a run whose code is missing stays READY, for a worker that has been deployed already."""
    missing_check: timedelta = timedelta(seconds=60)
    """How often a run that is paused for its code is looked at again."""
    rehint: timedelta = timedelta(seconds=60)
    """How long after a repeated hint the next one follows."""
    batch: int = 500
    """Runs that one transaction wakes."""
    inline_delivery: int = 500
    """Waiting runs that `engine.signal` wakes itself; the sweep wakes the rest."""
    inline_turns: int = 1000
    """Without an executor: how often one run is taken in the commit of a caller before it is left to the sweep."""
    inline_time: timedelta = timedelta(minutes=1)
    """Without an executor: how long a caller's commit works on runs before it leaves the others to the sweep."""
    starts_per_step: int = 1000
    """Runs that one step may start: a runaway stops here."""
    signals_per_step: int = 1000
    """Signals that one step may send: a loop without an end stops here, before anything is stored."""
    children_bytes: int = 4 * 1024 * 1024
    """What all children of one step may give back together, as JSON: it is put into one row. MariaDB takes 16 MiB in a
    statement at its defaults, and quoting may double what is written."""
    error_length: int = 32 * 1024
    """Characters of an error's text that are kept."""
    slow_step: timedelta = timedelta(seconds=1)
    """An atomic step that takes longer is logged: it holds its transaction all the while."""
    payload: JsonLimits = field(default_factory=JsonLimits)
    context: JsonLimits = field(default_factory=lambda: JsonLimits(bytes=256 * 1024, keys=20_000))
    redact: Callable[[str], str] = _as_it_is
    """Applied to every error text before it is stored."""
