"""The Django app `automation_events`."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

__all__ = ["EventsConfig"]


class EventsConfig(AppConfig):
    """Binds this package's own part: the processor, the receivers, the checks, the project's `automations`."""

    name = "automation.events"
    label = "automation_events"
    verbose_name = _("Events")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Plug in and discover; asks no database anything, and may run twice."""
        from automation.events import checks, discovery, logs, receivers
        from automation.events.ports.wiring import wiring
        from automation.events.services import event_processor

        wiring.processor = event_processor
        checks.register()
        receivers.connect()
        logs.connect()
        discovery.discover()
