"""The settings of the engine: `AUTOMATION_WORKFLOWS`, a dict, read when needed and never at import."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from automation.workflows.ports.policy import Policy

__all__ = ["DEFAULTS", "SETTING", "database_alias", "mistakes", "policy", "setting"]

SETTING = "AUTOMATION_WORKFLOWS"

_POLICY = Policy()
_NUMBERS = {field.name.upper(): getattr(_POLICY, field.name) for field in fields(Policy)}
_COMPOSED = ("PAYLOAD", "CONTEXT", "REDACT")
"""Fields of the policy that settings write in another form."""

DEFAULTS: Mapping[str, Any] = {
    "DATABASE": "default",
    "RUN_RETENTION": timedelta(days=30),
    "FAILED_RETENTION": timedelta(days=90),
    "HISTORY_LENGTH": 10_000,
    "SIGNAL_RETENTION": timedelta(days=7),
    "KEY_RETENTION": timedelta(days=365),
    "PAYLOAD_BYTES": _POLICY.payload.bytes,
    "CONTEXT_BYTES": _POLICY.context.bytes,
    "REDACT": _POLICY.redact,
    **{name: default for name, default in _NUMBERS.items() if name not in _COMPOSED},
}
"""Every key that `AUTOMATION_WORKFLOWS` may have, with what holds when it is not given."""


def setting(key: str) -> Any:
    """Return a setting as it is now, so that `override_settings` works at once.

    What is wrong is ignored here and reported by a system check.
    """
    written = getattr(settings, SETTING, {})
    is_given = isinstance(written, Mapping) and key in written and _fits(key, written[key])
    return written[key] if is_given else DEFAULTS[key]


def database_alias() -> str:
    """Return the alias of the database that holds runs, attempts and signals."""
    alias: str = setting("DATABASE")
    return alias


@cache
def policy() -> Policy:
    """Return the engine's numbers. Made once, and again when the settings change."""
    numbers = {name.lower(): setting(name) for name in _NUMBERS if name not in _COMPOSED}
    return Policy(
        **numbers,
        payload=replace(_POLICY.payload, bytes=setting("PAYLOAD_BYTES")),
        context=replace(_POLICY.context, bytes=setting("CONTEXT_BYTES")),
        redact=_redaction(),
    )


def mistakes() -> list[str]:
    """Return a sentence for each key or value of `AUTOMATION_WORKFLOWS` that is wrong."""
    written = getattr(settings, SETTING, {})
    if not isinstance(written, Mapping):
        return [f"{SETTING} is {written!r}. It must be a dict of settings."]
    return [_mistake(key, value) for key, value in written.items() if not _fits(key, value)]


def _redaction() -> Callable[[str], str]:
    """Return the function that REDACT gives or names.

    Raises ImproperlyConfigured or ImportError: this one setting has no default to fall back to, for what it was to hide
    would be stored.
    """
    written = getattr(settings, SETTING, {})
    given = written.get("REDACT", _POLICY.redact) if isinstance(written, Mapping) else _POLICY.redact
    if not _fits("REDACT", given):
        raise ImproperlyConfigured(_mistake("REDACT", given))
    function: Callable[[str], str] = import_string(given) if isinstance(given, str) else given
    return function


def _forget(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        policy.cache_clear()


setting_changed.connect(_forget, dispatch_uid="automation_workflows.conf")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value must be."""

    wanted: str
    """It in words, as the end of "It must be ..."."""
    fits: Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: Any) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


def _is_alias(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_function(value: Any) -> bool:
    return callable(value) or _is_alias(value)


def _kind_of(default: Any) -> _Kind:
    """Return what a value must be whose default is this one."""
    if isinstance(default, timedelta):
        return _Kind("a timedelta of more than nothing", _is_time)
    if isinstance(default, int):
        return _Kind("a whole number of 1 or more", _is_count)
    if isinstance(default, str):
        return _Kind("the alias of a database", _is_alias)
    return _Kind("a function, or the dotted path of one", _is_function)


_KINDS: Mapping[str, _Kind] = {key: _kind_of(default) for key, default in DEFAULTS.items()}


def _fits(key: str, value: Any) -> bool:
    return key in _KINDS and _KINDS[key].fits(value)


def _mistake(key: str, value: Any) -> str:
    if key in _KINDS:
        return f"{SETTING}[{key!r}] is {value!r}. It must be {_KINDS[key].wanted}."
    near = get_close_matches(str(key), _KINDS, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{SETTING} has the unknown key {key!r}.{meant} Known keys: {', '.join(sorted(_KINDS))}."
