"""The admin: history to read, failed deliveries to run again. List pages run no condition of anybody's."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from automation.events.databases import written_to
from automation.events.lifecycle.status import DeliveryStatus, EventStatus
from automation.events.models import Event, EventDelivery
from automation.events.rerunning import run_again

__all__ = ["EventAdmin", "EventDeliveryAdmin"]


class _StatusFilter(admin.SimpleListFilter):
    """A filter with fixed choices: asking the table for its distinct values would read all of it."""

    title = _("status")
    parameter_name = "status"
    statuses: type[EventStatus] | type[DeliveryStatus] = EventStatus

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(status), str(status)) for status in self.statuses]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(status=value) if value else queryset


class _DeliveryStatusFilter(_StatusFilter):
    statuses = DeliveryStatus


class _ReadOnly:
    """Rows are written by the package only."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class _DeliveryInline(_ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = EventDelivery
    fields = ("callback", "phase", "status", "due_at", "next_at", "attempts", "why", "error")
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(Event)
class EventAdmin(_ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Events, read only."""

    list_display = ("event_name", "entity_type", "entity_id", "status", "at", "next_at", "occurred_at", "why")
    list_filter = (_StatusFilter,)
    search_fields = ("=entity_id", "=event_name")
    fields = (
        "event_name",
        "entity_type",
        "entity_id",
        "generation",
        "status",
        "at",
        "next_at",
        "occurred_at",
        "why",
        "error",
        "payload",
        "about",
        "created_at",
        "updated_at",
    )
    readonly_fields = fields
    inlines = (_DeliveryInline,)
    show_full_result_count = False
    ordering = ("-id",)


@admin.register(EventDelivery)
class EventDeliveryAdmin(_ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Deliveries, read only but for running failed ones again."""

    list_display = ("callback", "event", "phase", "status", "due_at", "next_at", "attempts", "why")
    list_filter = (_DeliveryStatusFilter,)
    list_select_related = ("event",)
    search_fields = ("=callback",)
    fields = ("event", "callback", "phase", "status", "due_at", "next_at", "attempts", "why", "error", "finished_at")
    readonly_fields = fields
    show_full_result_count = False
    ordering = ("-id",)
    actions = ("run_again",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run deliveries again."""
        user: Any = request.user
        return bool(user.has_perm("automation_events.retry_eventdelivery"))

    @admin.action(permissions=["retry"], description=_("Run failed deliveries again"))
    def run_again(self, request: HttpRequest, queryset: QuerySet[EventDelivery]) -> None:
        """Owe the selected failed deliveries again; the processor makes them."""
        chosen = list(queryset.filter(status=DeliveryStatus.FAILED))
        count = run_again(chosen, using=written_to(queryset))
        user: Any = request.user
        if chosen:
            LogEntry.objects.log_actions(user.pk, chosen, CHANGE, change_message="Run again")
        text = ngettext("%d delivery will be run again.", "%d deliveries will be run again.", count)
        self.message_user(request, text % count, messages.SUCCESS if count else messages.WARNING)
