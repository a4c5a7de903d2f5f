"""What a project can get wrong, told by `manage.py check` before it costs a night."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from automation.workflows.authoring.registry import registry
from automation.workflows.conf import SETTING, database_alias, mistakes, policy, setting

__all__ = ["check_database", "check_namespace", "check_settings", "check_versions", "register_checks"]


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Look at `AUTOMATION_WORKFLOWS` and at what the engine needs of Django's own settings."""
    wrong = [Error(mistake, id="automation_workflows.E001") for mistake in mistakes()]
    found = [*wrong, *_time_zone(), *_alias()]
    return found or list(_redaction()) or list(_durations())


def _time_zone() -> Iterator[CheckMessage]:
    if not settings.USE_TZ:
        yield Error(
            "USE_TZ is False, but workflows keep aware times, which this project's databases would refuse.",
            hint="Set USE_TZ = True.",
            id="automation_workflows.E005",
        )


def _alias() -> Iterator[CheckMessage]:
    alias = database_alias()
    if alias not in settings.DATABASES:
        yield Error(
            f"AUTOMATION_WORKFLOWS['DATABASE'] is {alias!r}, which is not in DATABASES.",
            hint=f"There are: {', '.join(settings.DATABASES)}.",
            id="automation_workflows.E010",
        )


def _durations() -> Iterator[CheckMessage]:
    if setting("KEY_RETENTION") < max(setting("RUN_RETENTION"), setting("FAILED_RETENTION")):
        yield checks.Warning(
            "AUTOMATION_WORKFLOWS['KEY_RETENTION'] is shorter than the retention of runs, so it has no effect.",
            hint="A run's key is kept at least as long as the run; give KEY_RETENTION a longer time.",
            id="automation_workflows.W006",
        )
    if policy().claim_margin >= policy().step_timeout:
        yield checks.Warning(
            "AUTOMATION_WORKFLOWS['CLAIM_MARGIN'] is as long as STEP_TIMEOUT: a run that lost its worker waits twice "
            "as long as it must.",
            hint="A margin of some seconds is enough to store a result.",
            id="automation_workflows.W007",
        )


def _redaction() -> Iterator[CheckMessage]:
    try:
        policy()
    except ImportError as error:
        path = getattr(settings, SETTING)["REDACT"]
        yield Error(
            f"{SETTING}['REDACT'] is {path!r}, which cannot be imported: {error}.",
            hint="Give the dotted path of a function that takes a text and gives a text.",
            id="automation_workflows.E008",
        )


def check_namespace(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """See that `automation` is a namespace, not somebody's package in whose place ours cannot be found."""
    shadow = getattr(import_module("automation"), "__file__", None)
    if shadow is None:
        return []
    return [
        Error(
            f"{shadow} makes `automation` a regular package, which hides other parts of the automation namespace.",
            hint="Rename that package, or remove its __init__.py.",
            id="automation_workflows.E009",
        )
    ]


def check_versions(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """See that of several versions of a workflow one is current: otherwise no event and nobody could start it."""
    names = sorted({definition.name for definition in registry})
    return [
        Error(
            undecided,
            hint="Pass current=True to the version that new runs are to take.",
            id="automation_workflows.E013",
        )
        for name in names
        if (undecided := registry.undecided(name))
    ]


def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Look at how the database that holds the runs is set up; runs with `--database` and with `migrate`."""
    if not databases or (alias := database_alias()) not in databases:
        return []
    return [*_sqlite(connections[alias], alias), *_isolation(connections[alias], alias)]


def _sqlite(connection: BaseDatabaseWrapper, alias: str) -> Iterator[CheckMessage]:
    if connection.vendor != "sqlite":
        return
    if connection.settings_dict.get("OPTIONS", {}).get("transaction_mode") not in {"IMMEDIATE", "EXCLUSIVE"}:
        yield checks.Warning(
            f"DATABASES[{alias!r}] is SQLite without IMMEDIATE transactions: two writers that meet fail at once with "
            "'database is locked', whatever the timeout.",
            hint="Set OPTIONS = {'transaction_mode': 'IMMEDIATE', 'timeout': 20, "
            "'init_command': 'PRAGMA journal_mode=WAL;'}.",
            id="automation_workflows.W011",
        )


def _isolation(connection: BaseDatabaseWrapper, alias: str) -> Iterator[CheckMessage]:
    level = _isolation_level(connection)
    if level not in {None, "read committed"}:
        yield checks.Warning(
            f"DATABASES[{alias!r}] runs transactions at {level.upper()}. Workflows are written for READ COMMITTED: "
            "above it, a wait may miss a signal that was sent while its step was running, until its timeout.",
            hint="Remove 'isolation_level' from OPTIONS, or set it to read committed.",
            id="automation_workflows.W012",
        )


def _isolation_level(connection: BaseDatabaseWrapper) -> str | None:
    """Return the level that the settings ask for; None where they leave Django's default, which is READ COMMITTED."""
    options = connection.settings_dict.get("OPTIONS", {})
    if "isolation_level" not in options:
        return None
    level = options["isolation_level"]
    if connection.vendor == "mysql":
        return "repeatable read" if level is None else str(level).lower()
    # psycopg's IsolationLevel, or its number.
    names = {1: "read uncommitted", 2: "read committed", 3: "repeatable read", 4: "serializable"}
    return names.get(int(level), str(level)) if connection.vendor == "postgresql" else None


def register_checks() -> None:
    """Register the checks; called by `ready()`, and harmless when called again."""
    register(check_settings, "automation")
    register(check_namespace, "automation")
    register(check_versions, "automation")
    register(check_database, "automation", Tags.database)
