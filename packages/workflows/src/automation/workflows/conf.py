"""The settings of the engine: `AUTOMATION_WORKFLOWS`, a dict, read when needed and never at import."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from automation.workflows.ports.policy import Policy

__all__ = ["DEFAULTS", "configured", "database_alias", "policy", "setting"]

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
    """Return a setting as it is now, so that `override_settings` works at once."""
    return configured().get(key, DEFAULTS[key])


def configured() -> Mapping[str, Any]:
    """Return the dict of the project's settings. Raises ImproperlyConfigured when it is something else."""
    given = getattr(settings, "AUTOMATION_WORKFLOWS", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"AUTOMATION_WORKFLOWS is {given!r}. Write a dict: {{'DATABASE': 'default'}}.")
    return given


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
        redact=_imported(setting("REDACT")),
    )


def _imported(path: str | Callable[[str], str]) -> Callable[[str], str]:
    """Return the function that a dotted path names; a function is given back as it is."""
    if not isinstance(path, str):
        return path
    function: Callable[[str], str] = import_string(path)
    return function


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "AUTOMATION_WORKFLOWS":
        policy.cache_clear()


setting_changed.connect(_forget, dispatch_uid="automation_workflows.conf")
