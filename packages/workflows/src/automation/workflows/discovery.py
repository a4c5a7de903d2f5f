"""Finds `automations.py` modules and `automations/` packages in the installed apps."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from django.apps import apps
from django.utils.module_loading import module_has_submodule

__all__ = ["discover_automations"]


def discover_automations() -> None:
    """Import `automations` of every installed app, with its submodules. What an import raises is raised here.

    A module is executed once, however often and by whomever this is called.
    """
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "automations"):
            _import_whole(f"{app.name}.automations")


def _import_whole(name: str) -> None:
    for submodule in _submodules(import_module(name)):
        _import_whole(submodule)


def _submodules(module: ModuleType) -> list[str]:
    found = (submodule.name for submodule in iter_modules(getattr(module, "__path__", ())))
    return [f"{module.__name__}.{name}" for name in found if name != "__main__"]
