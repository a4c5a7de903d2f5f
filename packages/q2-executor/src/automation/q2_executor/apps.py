"""Binds django-q2 to whichever of events and workflows is installed."""

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

__all__ = ["QueuesConfig"]


class QueuesConfig(AppConfig):
    """`automation.q2_executor` in INSTALLED_APPS."""

    name = "automation.q2_executor"
    label = "automation_q2_executor"
    verbose_name = _("Queues")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Bind executor and dispatcher, and connect to q2. Makes no query; may run twice, in any order of the apps."""
        if not apps.is_installed("django_q"):
            raise ImproperlyConfigured("automation.q2_executor needs 'django_q' in INSTALLED_APPS too.")
        from automation.q2_executor import checks  # noqa: F401 (importing registers them)
        from automation.q2_executor.schedules import install_after_migrate

        self._bind()
        self._connect_workers()
        post_migrate.connect(install_after_migrate, sender=self, dispatch_uid="automation_q2_executor.schedules")

    def _bind(self) -> None:
        from automation.q2_executor.executor import Q2Dispatcher, Q2Executor

        if apps.is_installed("automation.workflows"):
            from automation.workflows.ports import wiring as workflows

            workflows.executor = Q2Executor()
        if apps.is_installed("automation.events"):
            from automation.events.ports import wiring as events

            events.dispatcher = Q2Dispatcher()

    def _connect_workers(self) -> None:
        from django_q.signals import post_spawn

        from automation.q2_executor.sweeps import begin_in_worker
        from automation.q2_executor.timers import start_in_worker

        post_spawn.connect(start_in_worker, dispatch_uid="automation_q2_executor.timers")
        post_spawn.connect(begin_in_worker, dispatch_uid="automation_q2_executor.sweeps")
