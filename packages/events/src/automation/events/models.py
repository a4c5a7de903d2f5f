"""The rows: what is owed is here, and nowhere else."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from automation.events import keys
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.moments import InstantField
from automation.events.querysets import DeliveryManager, EventManager
from automation.events.registry import Declared, definitions_for

__all__ = ["DeclarationState", "DeliveryStatus", "Event", "EventDelivery", "EventStatus"]


class Event(models.Model):
    """This named thing happens, or happened, to this entity at this time. One row is one occurrence.

    Each definition has one current row per entity (`current_key` is set). A date that is moved after the event has
    occurred makes the row history and arms a new one with the next `generation`.
    """

    id = models.UUIDField(primary_key=True, default=keys.uuid7, editable=False)
    event_name = models.CharField(_("event"), max_length=200)
    entity_type = models.CharField(_("entity type"), max_length=200)
    entity_id = models.CharField(_("entity id"), max_length=255)
    model_type: models.ForeignKey[ContentType | None, ContentType | None] = models.ForeignKey(
        ContentType,
        # The label beside it is the truth: a content type that is removed takes no history with it.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("model"),
    )
    current_key = models.CharField(max_length=64, null=True, unique=True, editable=False)
    generation = models.PositiveIntegerField(_("generation"), default=1)
    revision = models.PositiveBigIntegerField(default=1, editable=False)
    status = models.CharField(_("status"), max_length=16, default=EventStatus.PENDING.value)
    at = InstantField(_("at"), null=True)
    previous_at = InstantField(null=True, editable=False)
    next_at = InstantField(_("next check at"), null=True)
    occurred_at = InstantField(_("occurred at"), null=True)
    settled_at = InstantField(_("settled at"), null=True)
    condition_held = models.BooleanField(null=True, editable=False)
    found_false_at = InstantField(null=True, editable=False)
    why = models.TextField(_("why it is not moving"), blank=True, default="")
    error = models.TextField(_("error"), blank=True, default="")
    payload = models.JSONField(_("payload"), null=True)
    about = models.JSONField(_("about"), null=True)
    entity_data = models.JSONField(null=True, editable=False)
    created_at = InstantField(_("created at"))
    updated_at = InstantField(_("updated at"))

    objects: ClassVar[EventManager] = EventManager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["status", "next_at", "id"], name="automation_event_due"),
            models.Index(fields=["entity_type", "entity_id"], name="automation_event_entity"),
            models.Index(fields=["event_name", "at"], name="automation_event_at"),
            models.Index(fields=["settled_at", "id"], name="automation_event_settled"),
        ]

    def __str__(self) -> str:
        return f"{self.event_name} of {self.entity_type} {self.entity_id}"

    @cached_property
    def entity(self) -> Any:
        """The instance that the event is about, read on first use; None when it no longer exists.

        An event whose entity was deleted while it was pending gives the instance as it was, when something is to be
        told of the cancellation.
        """
        from automation.events.entities import read_entity

        return read_entity(self)

    @property
    def definition(self) -> Declared | None:
        """The declaration this row belongs to; None when the code no longer has it."""
        return definitions_for(self.entity_type, self.event_name)

    @property
    def is_immediate(self) -> bool:
        """Whether it occurs at a commit, not at a date."""
        declared = self.definition
        return self.at is None if declared is None else declared.definition.is_immediate()

    @property
    def is_valid(self) -> bool:
        """Whether its entity exists and the condition holds, judged anew each time; one that raises does not."""
        from automation.events.entities import is_valid

        return is_valid(self)

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read the row again, and the entity with it."""
        self.__dict__.pop("entity", None)
        super().refresh_from_db(*args, **kwargs)

    def cancel(self) -> bool:
        """Cancel it if it is pending, with its deliveries not yet begun; return whether this call did it."""
        from automation.events.marking import cancel

        return cancel(self)

    def mark_as_occurred(self) -> bool:
        """Let it occur now if it is pending, whatever its date and condition; return whether this call did it.

        Raises what the definition's `payload` raises: then it does not occur.
        """
        from automation.events.marking import mark_as_occurred

        return mark_as_occurred(self)


class EventDelivery(models.Model):
    """The durable record that one callback owes one event a call."""

    id = models.UUIDField(primary_key=True, default=keys.uuid7, editable=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries", verbose_name=_("event"))
    key = models.CharField(max_length=64, unique=True, editable=False)
    callback = models.CharField(_("callback"), max_length=255)
    phase = models.CharField(_("phase"), max_length=16)
    generation = models.PositiveIntegerField(default=1, editable=False)
    sequence = models.PositiveBigIntegerField(default=0, editable=False)
    offset = models.DurationField(_("offset"))
    background = models.BooleanField(default=False)
    due_at = InstantField(_("due at"), null=True)
    next_at = InstantField(_("next try at"), null=True)
    status = models.CharField(_("status"), max_length=16, default=DeliveryStatus.PENDING.value)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    claim = models.UUIDField(null=True, editable=False)
    claim_expires_at = InstantField(null=True, editable=False)
    why = models.TextField(_("why it is not moving"), blank=True, default="")
    error = models.TextField(_("error"), blank=True, default="")
    data = models.JSONField(null=True, editable=False)
    created_at = InstantField(_("created at"))
    finished_at = InstantField(_("finished at"), null=True)

    objects: ClassVar[DeliveryManager] = DeliveryManager()

    class Meta:
        verbose_name = _("event delivery")
        verbose_name_plural = _("event deliveries")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["status", "next_at", "id"], name="automation_delivery_due"),
        ]
        permissions = [("retry_eventdelivery", "Can run failed deliveries again")]

    def __str__(self) -> str:
        return f"{self.callback} ({self.phase})"

    def run_again(self) -> bool:
        """Owe it again if it has failed, due now and with all its tries; return whether this call did it."""
        from automation.events.rerunning import run_again

        done = run_again([self], using=self._state.db or "default") == 1
        self.refresh_from_db()
        return done


class DeclarationState(models.Model):
    """Which definitions and callbacks the stored rows were last brought in line with."""

    name = models.CharField(max_length=64, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    superseded = models.JSONField(default=list)
    cursor = models.JSONField(null=True)
    finished_at = InstantField(null=True)
    updated_at = InstantField()

    class Meta:
        verbose_name = _("state of the declarations")
        verbose_name_plural = _("states of the declarations")

    def __str__(self) -> str:
        return self.name
