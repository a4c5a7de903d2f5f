"""The one table of this package: when each sweep last ran."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.q2_executor.instants import InstantField

__all__ = ["Heartbeat"]


class Heartbeat(models.Model):
    """When something that must go on for ever last did so. `workflow_doctor` reads it; nothing is decided by it."""

    name = models.CharField(_("name"), max_length=40, primary_key=True)
    started_at = InstantField(_("started at"), null=True)
    """When it last began; also what a process compares and sets to be the only one to begin."""
    finished_at = InstantField(_("finished at"), null=True)
    """When it last came to its end without an error."""

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return f"{self.name}: {self.finished_at or 'never'}"
