"""The settings, read lazily from the dict `AUTOMATION_EVENTS`; what is not there has the default written here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from math import isfinite
from typing import Any

from django.conf import settings

from automation.events.lifecycle.retry import RetryPolicy

__all__ = ["SETTING", "Configuration", "conf", "mistakes"]

SETTING = "AUTOMATION_EVENTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Every setting, its default and its unit. The keys of `AUTOMATION_EVENTS` are these names in upper case."""

    late_limit: timedelta = timedelta(hours=24)
    """How old a date may be when it is first seen; what is older is EXPIRED, so importing history fires nothing."""
    inline_budget: timedelta = timedelta(seconds=2)
    """How long one commit may be followed by callbacks in the same process; the rest is left to the processor."""
    claim: timedelta = timedelta(minutes=5)
    """How long a process may be at one delivery before another takes it over. Longer than the slowest callback."""
    retry_attempts: int = 8
    """Tries of one delivery in all, processes that died at it included."""
    retry_base_delay: timedelta = timedelta(seconds=20)
    retry_max_delay: timedelta = timedelta(hours=1)
    retry_factor: float = 2.0
    retry_jitter: float = 0.1
    """The share of a delay that is added at random, between 0 and 1."""
    missing_grace: timedelta = timedelta(seconds=60)
    """How long a row that this process cannot judge (code not deployed yet, a subscriber that raised) is left alone."""
    deploy_grace: timedelta = timedelta(minutes=15)
    """How long processes of a release leave alone what a newer one has brought in line; longer than a deploy takes."""
    batch: int = 500
    """Rows per statement, at most 500."""
    databases: tuple[str, ...] | None = None
    """The aliases to poll; None: every alias that has the tables."""
    payload_limit: int = 65536
    """The most characters a payload may have as JSON."""
    error_limit: int = 32768
    """The most characters kept of an error's text."""

    @property
    def retry(self) -> RetryPolicy:
        """The policy for failed deliveries."""
        return RetryPolicy(
            max_attempts=self.retry_attempts,
            base_delay=self.retry_base_delay,
            backoff_factor=self.retry_factor,
            max_delay=self.retry_max_delay,
            jitter=self.retry_jitter,
        )


def conf() -> Configuration:
    """Return the settings as they are now. What is wrong is ignored here and reported by a system check."""
    global _read  # noqa: PLW0603 - read again only when the dict in the settings is another one
    written = getattr(settings, SETTING, _NONE)
    if _read[0] is not written:
        _read = (written, _parse(written))
    return _read[1]


def mistakes() -> list[str]:
    """Return a sentence for each key or value of `AUTOMATION_EVENTS` that is wrong."""
    written = getattr(settings, SETTING, {})
    if not isinstance(written, Mapping):
        return [f"{SETTING} is {written!r}. It must be a dict of settings."]
    return [_mistake(key, value) for key, value in written.items() if not _fits(key, value)]


def _parse(written: object) -> Configuration:
    if not isinstance(written, Mapping):
        return Configuration()
    values = {key.lower(): value for key, value in written.items() if _fits(key, value)}
    if values.get("databases") is not None:
        values["databases"] = tuple(values["databases"])
    return Configuration(**values)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value must be."""

    wanted: str
    """It in words, as the end of "It must be ..."."""
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: Any) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


def _are_aliases(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple | set) and all(isinstance(alias, str) for alias in value))


_TIME = _Kind("a timedelta of more than nothing", _is_time)
_DELAY = _Kind("a timedelta that is not negative", lambda value: isinstance(value, timedelta) and value >= timedelta(0))
_COUNT = _Kind("a whole number of 1 or more", _is_count)

_KINDS: Mapping[str, _Kind] = {
    "LATE_LIMIT": _DELAY,
    "INLINE_BUDGET": _DELAY,
    "CLAIM": _TIME,
    "RETRY_ATTEMPTS": _COUNT,
    "RETRY_BASE_DELAY": _DELAY,
    "RETRY_MAX_DELAY": _DELAY,
    "RETRY_FACTOR": _Kind("a number of 1 or more", lambda value: _is_number(value) and value >= 1),
    "RETRY_JITTER": _Kind("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "MISSING_GRACE": _TIME,
    "DEPLOY_GRACE": _DELAY,
    "BATCH": _Kind("a whole number from 1 to 500", lambda value: _is_count(value) and value <= 500),
    "DATABASES": _Kind("None or a list of database aliases", _are_aliases),
    "PAYLOAD_LIMIT": _COUNT,
    "ERROR_LIMIT": _COUNT,
}


def _fits(key: str, value: Any) -> bool:
    return key in _KINDS and _KINDS[key].fits(value)


def _mistake(key: str, value: Any) -> str:
    if key in _KINDS:
        return f"{SETTING}[{key!r}] is {value!r}. It must be {_KINDS[key].wanted}."
    near = get_close_matches(str(key), _KINDS, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{SETTING} has the unknown key {key!r}.{meant} Known keys: {', '.join(sorted(_KINDS))}."


_NONE: dict[str, Any] = {}
_read: tuple[object, Configuration] = (_NONE, Configuration())
