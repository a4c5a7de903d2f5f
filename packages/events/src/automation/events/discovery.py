"""Finding the `automations` of every installed app: a module, or a package with all its submodules."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec
from types import ModuleType

from django.apps import apps

__all__ = ["discover"]

NAME = "automations"


def discover() -> None:
    """Import them all. Safe to call twice; what an import raises is passed on, for a half-loaded project is worse."""
    for config in apps.get_app_configs():
        name = f"{config.name}.{NAME}"
        if _exists(name):
            _import_all(importlib.import_module(name))


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return False  # the app is a module by itself, and has no others


def _import_all(module: ModuleType) -> None:
    for found in pkgutil.iter_modules(getattr(module, "__path__", []), f"{module.__name__}."):
        if found.name.endswith(".__main__"):
            continue  # a program of its own, which runs when it is imported
        submodule = importlib.import_module(found.name)
        if found.ispkg:
            _import_all(submodule)
