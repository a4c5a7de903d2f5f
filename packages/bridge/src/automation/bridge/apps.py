"""Connects events with workflows."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

__all__ = ["BridgeConfig"]


class BridgeConfig(AppConfig):
    """`automation.bridge` in INSTALLED_APPS, anywhere in it."""

    name = "automation.bridge"
    label = "automation_bridge"
    verbose_name = _("Bridge from events to workflows")

    def ready(self) -> None:
        """Plug both sides into each other. Makes no query; may run twice, before or after the apps it connects."""
        from automation.bridge import checks  # noqa: F401 (importing registers them)
        from automation.bridge.erasure import erase
        from automation.bridge.occurrences import EventOccurrences
        from automation.bridge.relay import Relay
        from automation.events.ports import wiring as events
        from automation.workflows.core import outside_step
        from automation.workflows.ports import wiring as workflows

        events.subscribe(Relay())
        # A step without a transaction may set a callback off: its verbs are not the step's, which may still raise.
        events.around_callbacks = outside_step
        events.erasers["workflows"] = erase
        workflows.occurrences = EventOccurrences()
