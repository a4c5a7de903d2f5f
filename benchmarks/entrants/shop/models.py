"""An order that somebody must handle, and the trace that handling leaves."""

from django.conf import settings
from django.db import models


class Handled(models.Model):
    """One order was handled."""

    order_id = models.BigIntegerField()


if "automation.events" in settings.INSTALLED_APPS:
    from automation.events.definitions import EventDefinition

    class Order(models.Model):
        """An order that declares its event."""

        number = models.IntegerField()
        events = [EventDefinition("ordered")]

else:

    class Order(models.Model):  # type: ignore[no-redef]
        """An order that declares nothing."""

        number = models.IntegerField()
