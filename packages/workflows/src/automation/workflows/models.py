"""The tables of the engine. A row is the truth about a run; whoever writes it compares `revision` first.

Lookups for work never meet finished runs: `next_at` is NULL and `waiting_signal` is empty once a run has ended.
"""

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.workflows.fields import JsonText, NameField, SafeText
from automation.workflows.querysets import WorkflowRunManager, WorkflowSignalManager
from automation.workflows.runs.values import WorkflowStatus

__all__ = [
    "MailboxPosition",
    "SignalAddress",
    "SignalChannel",
    "WorkflowAttempt",
    "WorkflowReceipt",
    "WorkflowRun",
    "WorkflowSignal",
    "WorkflowStatus",
]


class WorkflowRun(models.Model):
    """One execution of one workflow. Change it by the engine or by the querysets of `objects`, never by `save()`."""

    id = models.UUIDField(primary_key=True, editable=False)
    name = NameField(max_length=255)
    version = NameField(max_length=64, default="1")
    status = NameField(max_length=16)
    revision = models.BigIntegerField(default=0)
    """The fence: one more with every stored change."""
    current_step = NameField(max_length=255)
    data = JsonText(null=True)
    """The Context as JSON; NULL for a reserved start that has not begun."""
    next_at = models.DateTimeField(null=True)
    """When the system must look at the run again; NULL when only a signal or a person can move it."""
    wake_at = models.DateTimeField(null=True)
    claim_expires_at = models.DateTimeField(null=True)
    waiting_signal = NameField(max_length=255, default="", blank=True)
    """The signal it waits for; empty when it waits for none."""
    waiting_scope = NameField(max_length=255, default="", blank=True)
    """The model within which the entity must be the same; empty when the wait's key was asked for by name."""
    waiting_digest = NameField(max_length=64, default="", blank=True)
    """The address digest of the wait's signal and key."""
    wait = JsonText(null=True)
    wake = JsonText(null=True)
    visit = models.BigIntegerField(default=0)
    attempt = models.IntegerField(default=0)
    """Attempts of this visit that ended in an exception."""
    visit_position = models.BigIntegerField(default=0)
    start_position = models.BigIntegerField(default=0)
    lost_claims = models.IntegerField(default=0)
    pause = NameField(max_length=16, default="", blank=True)
    pause_requested = models.BooleanField(default=False)
    missing_since = models.DateTimeField(null=True)
    error = SafeText(default="", blank=True)
    why = SafeText(default="", blank=True)
    """Why it is not moving, for people."""
    run_key = SafeText(null=True)
    run_key_digest = models.CharField(max_length=64, null=True)
    arguments_digest = models.CharField(max_length=64, default="", blank=True)
    """Of a run with a key, what its start was given; empty when that has been erased."""
    entity_type = NameField(max_length=255, default="", blank=True)
    """`app_label.model` of what the run is about; empty when it is about nothing."""
    entity_id = NameField(max_length=255, default="", blank=True)
    triggered_by_event_id = NameField(max_length=255, null=True)
    """The occurrence that planned or started it, as text; NULL for a run started by hand."""
    event_at = models.DateTimeField(null=True)
    """The occurrence's date; follows every edit until the run begins."""
    occurrence = JsonText(null=True)
    occurrence_digest = models.CharField(max_length=64, null=True)
    offset = models.DurationField()
    parent_id = models.UUIDField(null=True)
    parent_visit = models.BigIntegerField(default=0)
    children_pending = models.IntegerField(default=0)
    deadline_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    tombstone_at = models.DateTimeField(null=True)
    """When cleanup emptied the row and kept it for its key alone; such rows are not among `objects`."""

    objects = WorkflowRunManager()
    rows = models.Manager["WorkflowRun"]()
    """Every row, tombstones included: what the storage works on."""

    class Meta:
        indexes = [
            models.Index(fields=["next_at", "id"], name="aw_run_due"),
            models.Index(fields=["waiting_signal", "waiting_scope", "waiting_digest"], name="aw_run_waiters"),
            models.Index(fields=["triggered_by_event_id"], name="aw_run_occurrence"),
            models.Index(fields=["entity_type", "entity_id"], name="aw_run_entity"),
            models.Index(fields=["status", "finished_at"], name="aw_run_status"),
            models.Index(fields=["parent_id"], name="aw_run_parent"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["run_key_digest"], name="aw_run_key_once"),
            models.UniqueConstraint(fields=["occurrence_digest"], name="aw_run_occurrence_once"),
        ]
        verbose_name = _("workflow run")
        verbose_name_plural = _("workflow runs")
        default_permissions = ("view",)
        permissions = [
            ("retry_workflowrun", "Can retry workflow runs"),
            ("cancel_workflowrun", "Can cancel workflow runs"),
            ("pause_workflowrun", "Can pause and resume workflow runs"),
            ("view_workflowcontext", "Can view the Contexts, payloads and errors of workflow runs"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"

    @property
    def entity(self) -> models.Model | None:
        """The instance that the run is about, read now; None when it is about nothing or the instance is gone."""
        model = self.entity_model
        try:
            return None if model is None else model._base_manager.filter(pk=self.entity_id).first()
        except (ValueError, ValidationError):
            # The model's primary key is of another kind by now: nothing can have this one.
            return None

    @property
    def entity_model(self) -> type[models.Model] | None:
        """The model of what the run is about; None when it is about nothing or the model is not installed."""
        try:
            return apps.get_model(self.entity_type) if self.entity_type else None
        except LookupError:
            return None


class WorkflowAttempt(models.Model):
    """One try of one step. Written in the transaction of the step's own move."""

    run = models.ForeignKey(WorkflowRun, on_delete=models.CASCADE, related_name="attempts")
    revision = models.BigIntegerField()
    """The run's revision after this attempt was recorded."""
    step = NameField(max_length=255)
    visit = models.BigIntegerField()
    number = models.IntegerField()
    """Counts from 1 within the visit."""
    outcome = NameField(max_length=16)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    detail = SafeText(default="", blank=True)

    class Meta:
        ordering = ["run", "revision"]
        constraints = [models.UniqueConstraint(fields=["run", "revision"], name="aw_attempt_once")]
        verbose_name = _("workflow attempt")
        verbose_name_plural = _("workflow attempts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.step} #{self.number}: {self.outcome}"


class WorkflowSignal(models.Model):
    """A stored message to waiting runs. The primary key is the order of sending, `position` that of delivery."""

    id = models.BigAutoField(primary_key=True)
    signal_id = models.UUIDField(unique=True)
    name = NameField(max_length=255)
    payload = JsonText(null=True)
    key = SafeText(null=True)
    run_id = models.UUIDField(null=True)
    """The one run it is for; NULL for any run that waits for it."""
    subjects = JsonText(default=list)
    sent_at = models.DateTimeField()
    position = models.BigIntegerField(null=True)
    """Its place in the mailbox; NULL until delivery begins."""
    pending = models.BooleanField(null=True, default=True)
    """True until its delivery is finished, then NULL, so that sweeps never meet what is done."""

    objects = WorkflowSignalManager()

    class Meta:
        indexes = [
            models.Index(fields=["pending", "id"], name="aw_signal_pending"),
            models.Index(fields=["name", "position"], name="aw_signal_position"),
            models.Index(fields=["run_id"], name="aw_signal_run"),
        ]
        verbose_name = _("workflow signal")
        verbose_name_plural = _("workflow signals")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.name} {self.signal_id}"


class SignalAddress(models.Model):
    """One thing that a signal is about, as a digest of the signal's name and that thing's key."""

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=64)
    signal_id = models.UUIDField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest", "signal_id"], name="aw_address_once")]
        indexes = [models.Index(fields=["signal_id"], name="aw_address_signal")]
        verbose_name = _("signal address")
        verbose_name_plural = _("signal addresses")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.signal_id} {self.digest}"


class WorkflowReceipt(models.Model):
    """The fact that a run has consumed a signal: once."""

    id = models.BigAutoField(primary_key=True)
    run_id = models.UUIDField()
    signal_id = models.UUIDField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run_id", "signal_id"], name="aw_receipt_once")]
        indexes = [models.Index(fields=["signal_id"], name="aw_receipt_signal")]
        verbose_name = _("signal receipt")
        verbose_name_plural = _("signal receipts")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.run_id} {self.signal_id}"


class SignalChannel(models.Model):
    """What stands for a signal's name when it is locked; made on demand."""

    digest = models.CharField(max_length=64, primary_key=True)
    name = NameField(max_length=255)

    class Meta:
        verbose_name = _("signal channel")
        verbose_name_plural = _("signal channels")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.name)


class MailboxPosition(models.Model):
    """The one row with the highest position allotted; its lock makes positions grow in the order of commits."""

    id = models.SmallIntegerField(primary_key=True)
    value = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("mailbox position")
        verbose_name_plural = _("mailbox positions")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.value)
