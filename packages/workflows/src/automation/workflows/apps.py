"""Binds the engine to Django: the storage, the checks, and the project's `automations`."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

__all__ = ["WorkflowsConfig"]


class WorkflowsConfig(AppConfig):
    """`automation.workflows` in INSTALLED_APPS."""

    name = "automation.workflows"
    label = "automation_workflows"
    verbose_name = _("Workflows")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Bind storage, settings and engine, then import the project's automations. Makes no query; may run twice."""
        from automation.workflows.authoring.registry import registry
        from automation.workflows.checks import register_checks
        from automation.workflows.conf import policy
        from automation.workflows.core import engine
        from automation.workflows.discovery import discover_automations
        from automation.workflows.django_storage import DjangoStorage
        from automation.workflows.leftovers import nothing_left_open
        from automation.workflows.ports import wiring
        from automation.workflows.upkeep import DjangoUpkeep

        wiring.storage = DjangoStorage()
        wiring.policy = policy
        wiring.step_timeouts = registry.timeouts
        wiring.around_step = nothing_left_open
        wiring.worker = engine
        wiring.upkeep = DjangoUpkeep()
        register_checks()
        discover_automations()
