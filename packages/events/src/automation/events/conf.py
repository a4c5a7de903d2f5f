"""The settings, read lazily from the dict `AUTOMATION_EVENTS`; what is not there has the default written here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
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
    """Return the settings as they are now. Unknown keys are ignored here and reported by a system check."""
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
    known = {field.name.upper(): field for field in fields(Configuration)}
    unknown = [
        f"{SETTING} has the unknown key {key!r}. Known keys: {', '.join(sorted(known))}."
        for key in written
        if key not in known
    ]
    wrong = [
        f"{SETTING}[{key!r}] is {value!r}. {_expected(getattr(Configuration(), key.lower()))}"
        for key, value in written.items()
        if key in known and not _fits(key, value)
    ]
    return unknown + wrong


def _fits(key: str, value: Any) -> bool:
    match key:
        case "DATABASES":
            return value is None or (not isinstance(value, str) and all(isinstance(alias, str) for alias in value))
        case "BATCH":
            return _is_number(value, int) and 1 <= value <= 500
        case "RETRY_ATTEMPTS" | "PAYLOAD_LIMIT" | "ERROR_LIMIT":
            return _is_number(value, int) and value >= 1
        case "RETRY_JITTER":
            return _is_number(value, int | float) and 0 <= value <= 1
        case "RETRY_FACTOR":
            return _is_number(value, int | float) and value >= 1
    least = timedelta(microseconds=1) if key in ("CLAIM", "MISSING_GRACE") else timedelta(0)
    return isinstance(value, timedelta) and value >= least


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _expected(default: Any) -> str:
    if isinstance(default, timedelta):
        return "It must be a timedelta that is not negative; CLAIM and MISSING_GRACE are more than nothing."
    if default is None:
        return "It must be None or a list of database aliases."
    return f"It must be a number like {default!r}, within its bounds (see automation.events.conf)."


def _parse(written: object) -> Configuration:
    if not isinstance(written, Mapping):
        return Configuration()
    known = {field.name for field in fields(Configuration)}
    values = {key.lower(): value for key, value in written.items() if key.lower() in known and _fits(key, value)}
    if values.get("databases") is not None:
        values["databases"] = tuple(values["databases"])
    return Configuration(**values)


_NONE: dict[str, Any] = {}
_read: tuple[object, Configuration] = (_NONE, Configuration())
