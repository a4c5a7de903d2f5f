"""The settings, read lazily from the dict `AUTOMATION_Q2`; what is not there has the default written here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django.conf import settings

__all__ = ["SETTING", "Configuration", "conf", "mistakes", "schedules_wanted"]

SETTING = "AUTOMATION_Q2"
Q2_LATENESS = timedelta(seconds=30)
"""How often q2 looks at its schedules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Every setting, its default and its unit. The keys of `AUTOMATION_Q2` are these names in upper case."""

    queue: str | None = None
    """The q2 queue (cluster name) for runs, deliveries and timers; None: the one that `Q_CLUSTER` names."""
    sweep_queue: str | None = None
    """The q2 queue for the three sweeps, when a cluster of their own works on them; None: the same as `queue`."""
    sweep_every: timedelta = timedelta(minutes=1)
    """The interval of "Workflows: process_scheduled". q2's schedules know whole minutes only: what is finer is rounded
    up there, and kept by a timer."""
    poll_every: timedelta = timedelta(minutes=5)
    """The interval of "Events: poll_due", likewise."""
    timers: bool = True
    """Whether to keep near times in the queue (ORM and Redis brokers), so that they are met within a second."""
    run_horizon: timedelta | None = None
    """Times of runs nearer than this become timers. None: two sweeps and q2's own 30 s of lateness for each, so that a
    sweep always comes in between. Not longer than it must be: q2's table has no index on the time."""
    event_horizon: timedelta | None = None
    """Times of events nearer than this become timers. None: one late poll and half of one to spare."""
    keep_failures: timedelta = timedelta(days=30)
    """How long q2's Failure rows of our own tasks are kept; q2 itself never removes any."""

    @property
    def horizon_of_runs(self) -> timedelta:
        """How near a time of a run must be to become a timer."""
        return self.run_horizon or 2 * (self.sweep_every + Q2_LATENESS)

    @property
    def horizon_of_events(self) -> timedelta:
        """How near a time of an event must be to become a timer."""
        return self.event_horizon or 1.5 * self.poll_every + Q2_LATENESS


def conf() -> Configuration:
    """Return the settings as they are now. What is wrong is ignored here and reported by a system check."""
    written = getattr(settings, SETTING, {})
    if not isinstance(written, Mapping):
        return Configuration()
    return Configuration(**{key.lower(): value for key, value in written.items() if _fits(key, value)})


def schedules_wanted() -> bool:
    """Return whether schedules are ours to install: not with `SKIP_Q2_AUTOSCHEDULE = True`."""
    return not getattr(settings, "SKIP_Q2_AUTOSCHEDULE", False)


def mistakes() -> list[str]:
    """Return a sentence for each key or value of `AUTOMATION_Q2` that is wrong."""
    written = getattr(settings, SETTING, {})
    if not isinstance(written, Mapping):
        return [f"{SETTING} is {written!r}. It must be a dict of settings."]
    return [_mistake(key, value) for key, value in written.items() if not _fits(key, value)]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value must be."""

    wanted: str
    """It in words, as the end of "It must be ..."."""
    fits: Callable[[Any], bool]


def _is_queue(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value != "")


def _is_interval(value: Any) -> bool:
    return isinstance(value, timedelta) and timedelta(seconds=1) <= value < timedelta(days=1)


def _is_time(value: Any) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


_QUEUE = _Kind("None or the name of a q2 queue", _is_queue)
_INTERVAL = _Kind("a timedelta of a second or more, and less than a day", _is_interval)
_HORIZON = _Kind("None or a timedelta of more than nothing", lambda value: value is None or _is_time(value))

_KINDS: Mapping[str, _Kind] = {
    "QUEUE": _QUEUE,
    "SWEEP_QUEUE": _QUEUE,
    "SWEEP_EVERY": _INTERVAL,
    "POLL_EVERY": _INTERVAL,
    "TIMERS": _Kind("True or False", lambda value: isinstance(value, bool)),
    "RUN_HORIZON": _HORIZON,
    "EVENT_HORIZON": _HORIZON,
    "KEEP_FAILURES": _Kind("a timedelta of more than nothing", _is_time),
}


def _fits(key: str, value: Any) -> bool:
    return key in _KINDS and _KINDS[key].fits(value)


def _mistake(key: str, value: Any) -> str:
    if key in _KINDS:
        return f"{SETTING}[{key!r}] is {value!r}. It must be {_KINDS[key].wanted}."
    near = get_close_matches(str(key), _KINDS, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{SETTING} has the unknown key {key!r}.{meant} Known keys: {', '.join(sorted(_KINDS))}."
