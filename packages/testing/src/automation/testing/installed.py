"""Which parts of the house are there: this package requires neither events nor workflows, and uses what it finds."""

import asyncio
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = [
    "database_is_open",
    "engine",
    "events_aliases",
    "events_models",
    "events_wiring",
    "is_inside_a_step",
    "open_aliases",
    "refuse_under_loop",
    "registry",
    "wirings",
    "workflows_models",
    "workflows_wiring",
]


def wirings() -> list[Any]:
    """Return the wiring of each package that is installed: where a clock or an executor is plugged in."""
    return [wiring for wiring in (events_wiring(), workflows_wiring()) if wiring is not None]


def events_wiring() -> Any:
    """Return the wiring of events, or None when the package is not installed."""
    return _wiring("automation.events")


def workflows_wiring() -> Any:
    """Return the wiring of workflows, or None when the package is not installed."""
    return _wiring("automation.workflows")


def engine() -> Any:
    """Return the engine. Raises RuntimeError with the remedy when workflows are not installed."""
    if find_spec("automation.workflows") is None:
        raise RuntimeError("This needs workflows: install automation-workflows beside automation-testing.")
    return import_module("automation.workflows.core").engine


def registry() -> Any:
    """Return the registry of workflows. Raises as `engine` does."""
    engine()
    return import_module("automation.workflows.authoring.registry").registry


def is_inside_a_step() -> bool:
    """Return whether what asks is called by a step that is running."""
    context = sys.modules.get("automation.workflows.authoring.context")
    return context is not None and context.current_scope() is not None


def events_models() -> ModuleType | None:
    """Return the models module of events when Django is set up and has the app, else None."""
    return _models("automation.events")


def workflows_models() -> ModuleType | None:
    """Return the models module of workflows when Django is set up and has the app, else None."""
    return _models("automation.workflows")


def database_is_open() -> bool:
    """Return whether this test may use the database, which pytest-django and SimpleTestCase forbid by default.

    Where it is forbidden, no row can be due.
    """
    django_db = sys.modules.get("django.db")
    if django_db is None:
        return False
    try:
        django_db.connection.ensure_connection()
    except (RuntimeError, AssertionError):
        # What pytest-django and what Django's SimpleTestCase raise. An error of the database itself is neither.
        return False
    except sys.modules["django.core.exceptions"].SynchronousOnlyOperation:
        refuse_under_loop()
        raise
    return True


def open_aliases() -> list[str]:
    """Return the aliases of the databases that this test may use, used already or not."""
    if not database_is_open():
        return []
    # Django's test cases put a refusal in place of the cursor of databases they were not given.
    return [
        connection.alias
        for connection in sys.modules["django.db"].connections.all()
        if not hasattr(connection.cursor, "wrapped") and not connection.settings_dict["TEST"].get("MIRROR")
    ]


def events_aliases() -> list[str]:
    """Return the aliases, of those that this test may use, on which events are kept. Asked where they are installed."""
    aliases = import_module("automation.events.databases").aliases()
    return [alias for alias in aliases if alias in open_aliases()]


def refuse_under_loop() -> None:
    """Raise RuntimeError, saying what to write, where a verb would block a running event loop. Steps may call them."""
    if is_inside_a_step() or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "An async test cannot wait for this without blocking its event loop. All verbs and assertions of the Harness "
        "can be awaited: write await automation.aio.start(...), await automation.aio.assert_completed(...). A clock "
        "without a Harness: await sync_to_async(clock.advance)(...), or clock.jump(...) if nothing else is to happen."
    )


def _wiring(package: str) -> Any:
    # The ports import neither Django nor pydantic, so this is cheap and safe before settings are read.
    return import_module(f"{package}.ports").wiring if find_spec(package) is not None else None


def _models(package: str) -> ModuleType | None:
    registry = sys.modules.get("django.apps")
    if registry is None or not registry.apps.ready or not registry.apps.is_installed(package):
        return None
    return import_module(f"{package}.models")
