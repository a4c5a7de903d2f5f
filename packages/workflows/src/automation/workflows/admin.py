"""The admin: which runs there are, why each is not moving, what became of its steps, and four verbs to act.

Nothing here runs a user's code: no condition, no `__str__` of an entity. Contexts, payloads and errors are shown to
those who may see them. Every action is a POST, is confirmed, asks for its own permission and is logged.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from automation.workflows.authoring.registry import registry
from automation.workflows.models import WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.querysets import WorkflowRunQuerySet
from automation.workflows.runs.transitions import next_statuses

__all__ = ["WorkflowRunAdmin", "WorkflowSignalAdmin"]

_TIMELINE = 200
"""Attempts shown on a run's page, the newest: enough to see a loop, few enough to render at once."""
_CHUNK = 500
"""Runs that an action has at hand together."""
_VERBS = {
    "retry": ("RetryRequested", "retry"),
    "cancel": ("CancelRequested", "cancel"),
    "pause": ("PauseRequested", "pause"),
    "resume": ("Resumed", "pause"),
}
"""What a person can do with a run: the cause it is to the run, and the permission that it asks for."""
_SEE_CONTEXT = "automation_workflows.view_workflowcontext"


class _OnlyLooking(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows are made and changed by the engine alone."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a row by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits a row by hand: its revision would not tell."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows end by retention."""
        return False


class _StatusFilter(admin.SimpleListFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every status there is."""
        return [(status.value, status.name) for status in WorkflowStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow by an indexed column."""
        return queryset.filter(status=self.value()) if self.value() else queryset


class _WorkflowFilter(admin.SimpleListFilter):
    title = _("workflow")
    parameter_name = "workflow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the workflows of this code: asking the table for its names would read all of it."""
        return [(name, name) for name in sorted({definition.name for definition in registry})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow by name."""
        return queryset.filter(name=self.value()) if self.value() else queryset


def _action(verb: str, permission: str, label: Any) -> Callable[..., HttpResponse | None]:
    """Make an action that confirms, asks for its permission, acts on each run and logs it."""

    @admin.action(permissions=[permission], description=label)
    def act(self: "WorkflowRunAdmin", request: HttpRequest, queryset: WorkflowRunQuerySet) -> HttpResponse | None:
        return self.confirm_or_act(request, queryset, verb)

    act.__name__ = f"{verb}_runs"
    return act


@admin.register(WorkflowRun)
class WorkflowRunAdmin(_OnlyLooking):
    """Runs, the newest first."""

    list_display = ["name", "about", "status", "current_step", "why_not_moving", "due", "short_id"]
    list_filter = [_StatusFilter, _WorkflowFilter]
    search_fields = ["id"]
    search_help_text = _("The id of a run, its parent or its event; or app_label.model:pk")
    ordering = ["-id"]
    actions = [
        _action("retry", "retry", _("Retry the failed runs that are selected")),
        _action("cancel", "cancel", _("Cancel the runs that are selected")),
        _action("pause", "pause", _("Pause the runs that are selected")),
        _action("resume", "pause", _("Resume the paused runs that are selected")),
    ]
    change_form_template = "admin/automation_workflows/workflowrun/change_form.html"
    fieldsets = [
        (None, {"fields": ["id", "name", "version", "status", "current_step", "why_not_moving", "due", "about"]}),
        (_("Timeline"), {"fields": ["timeline"]}),
        (_("Context"), {"fields": ["context", "failure"]}),
        (_("Waits"), {"fields": ["waiting_signal", "wake_at", "deadline_at", "claim_expires_at"]}),
        (_("Comes from"), {"fields": ["run_key", "event", "parent", "children"]}),
        (_("Times"), {"fields": ["created_at", "updated_at", "finished_at", "revision"]}),
    ]

    class Media:
        # A file, as a style inside the page is what a content security policy forbids.
        css = {"all": ["automation_workflows/admin.css"]}

    # Permissions of the verbs

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may retry."""
        return self._may(request, "retry")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel."""
        return self._may(request, "cancel")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may pause and resume."""
        return self._may(request, "pause")

    def _may(self, request: HttpRequest, verb: str) -> bool:
        return bool(request.user.has_perm(f"automation_workflows.{verb}_workflowrun"))

    # Acting

    def confirm_or_act(self, request: HttpRequest, runs: WorkflowRunQuerySet, verb: str) -> HttpResponse | None:
        """Show what is about to be done; do it once it is confirmed."""
        if "confirmed" not in request.POST:
            return self._confirmation(request, runs, verb)
        told = gettext("%(verb)s was asked for.") % {"verb": verb}
        chosen = list(runs.order_by("pk").values_list("pk", flat=True))
        count = 0
        for start in range(0, len(chosen), _CHUNK):
            rows = WorkflowRun.objects.filter(pk__in=chosen[start : start + _CHUNK])
            count += getattr(rows, verb)()
            for run in rows.only("pk", "name", "status"):
                self.log_change(request, run, told)
        text = gettext("%(verb)s took effect on %(count)d of %(all)d runs.")
        self.message_user(request, text % {"verb": verb, "count": count, "all": len(chosen)}, messages.SUCCESS)
        return None

    def _confirmation(self, request: HttpRequest, runs: WorkflowRunQuerySet, verb: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Are you sure?"),
            "verb": verb,
            "action": f"{verb}_runs",
            "runs": runs.order_by("pk")[:_TIMELINE],
            "count": runs.count(),
            "selected": request.POST.getlist("_selected_action"),
            "select_across": request.POST.get("select_across", "0"),
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/automation_workflows/workflowrun/confirm.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a run; the verbs on its page are posted to the list, as its actions."""
        if request.method == "POST":
            raise PermissionDenied
        verbs = self._verbs_for(request, self.get_object(request, object_id))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "verbs": verbs})

    def _verbs_for(self, request: HttpRequest, run: WorkflowRun | None) -> list[str]:
        """Return what this person may do, and the run's status allows."""
        if run is None:
            return []
        status = WorkflowStatus(run.status)
        possible = [verb for verb, (cause, _) in _VERBS.items() if next_statuses(status, cause)]
        if status is WorkflowStatus.PAUSED:
            possible.remove("pause")
        return [verb for verb in possible if self._may(request, _VERBS[verb][1])]

    # Finding

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WorkflowRun], search_term: str
    ) -> tuple[QuerySet[WorkflowRun], bool]:
        """Search by indexed columns alone, for exactly what was typed."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (run_id := _as_uuid(term)) is not None:
            own, parent = queryset.filter(pk=run_id), queryset.filter(parent_id=run_id)
            return own | parent | queryset.filter(triggered_by_event_id=term), False
        entity_type, colon, entity_id = term.partition(":")
        if colon:
            return queryset.filter(entity_type=entity_type.lower(), entity_id=entity_id), False
        return queryset.filter(triggered_by_event_id=term), False

    # What is shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowRun]:
        """Note on each row whether its reader may see what steps said, and leave on the database what is not shown."""
        may_see = Value(request.user.has_perm(_SEE_CONTEXT), output_field=BooleanField())
        rows: QuerySet[WorkflowRun] = super().get_queryset(request).annotate(shows_details=may_see)
        is_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
        return rows.defer("data", "wake", "error") if is_list else rows

    def get_fieldsets(self, request: HttpRequest, obj: WorkflowRun | None = None) -> Any:
        """Leave the Context out for those who may not see it."""
        if request.user.has_perm(_SEE_CONTEXT):
            return self.fieldsets
        return [fieldset for fieldset in self.fieldsets if "context" not in fieldset[1]["fields"]]

    @admin.display(description=_("run"), ordering="id")
    def short_id(self, run: WorkflowRun) -> str:
        """Return the part of the id that differs."""
        return str(run.pk)[-12:]

    @admin.display(description=_("why it is not moving"))
    def why_not_moving(self, run: WorkflowRun) -> str:
        """Return the stored reason; what an exception said belongs to those who may see Contexts."""
        why = run.why if getattr(run, "shows_details", False) else _without_message(run.why)
        return why or ("" if run.next_at else gettext("it has ended"))

    @admin.display(description=_("next check at"), ordering="next_at")
    def due(self, run: WorkflowRun) -> str:
        """Return when the system looks at it next."""
        return _shown(run.next_at)

    @admin.display(description=_("about"))
    def about(self, run: WorkflowRun) -> str | SafeString:
        """Name the entity by type and key, with a link to its page where the admin has one. Reads nothing."""
        if not run.entity_type:
            return "-"
        text = f"{run.entity_type}:{run.entity_id}"
        url = _entity_url(self.admin_site, run)
        return format_html('<a href="{}">{}</a>', url, text) if url else text

    @admin.display(description=_("event"))
    def event(self, run: WorkflowRun) -> str:
        """Name the occurrence that planned or started it."""
        name = (run.occurrence or {}).get("name", "")
        return f"{name} ({run.triggered_by_event_id}), {_shown(run.event_at)}" if run.triggered_by_event_id else "-"

    @admin.display(description=_("parent"))
    def parent(self, run: WorkflowRun) -> str | SafeString:
        """Link to the run that started it."""
        return "-" if run.parent_id is None else self._link(run.parent_id)

    @admin.display(description=_("children"))
    def children(self, run: WorkflowRun) -> str | SafeString:
        """Link to the runs that it started."""
        ids = WorkflowRun.objects.filter(parent_id=run.pk).order_by("pk").values_list("pk", flat=True)[:_TIMELINE]
        return format_html_join(" ", "{}", ((self._link(run_id),) for run_id in ids)) or "-"

    @admin.display(description=_("timeline"))
    def timeline(self, run: WorkflowRun) -> SafeString:
        """Show what became of its steps, the newest first."""
        shows = getattr(run, "shows_details", False)
        attempts = run.attempts.order_by("-revision")[:_TIMELINE]
        rows = (
            (_shown(each.started_at), each.step, each.visit, each.number, each.outcome, each.detail if shows else "")
            for each in attempts
        )
        cells = format_html_join(
            "\n",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td><pre>{}</pre></td></tr>",
            rows,
        )
        titles = format_html_join(
            "", "<th>{}</th>", ((_(title),) for title in ("started", "step", "visit", "attempt", "outcome", "detail"))
        )
        return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", titles, cells)

    @admin.display(description=_("context"))
    def context(self, run: WorkflowRun) -> SafeString:
        """Show the Context as it is stored."""
        if run.data is None:
            return format_html("{}", _("made when the run begins"))
        return format_html("<pre>{}</pre>", json.dumps(run.data, indent=2, ensure_ascii=False))

    @admin.display(description=_("error"))
    def failure(self, run: WorkflowRun) -> SafeString:
        """Show the error's text."""
        return format_html("<pre>{}</pre>", run.error) if run.error else format_html("-")

    def _link(self, run_id: UUID) -> SafeString:
        url = reverse(f"{self.admin_site.name}:automation_workflows_workflowrun_change", args=[run_id])
        return format_html('<a href="{}">{}</a>', url, f"…{str(run_id)[-12:]}")


@admin.register(WorkflowSignal)
class WorkflowSignalAdmin(_OnlyLooking):
    """Signals, the newest first."""

    list_display = ["signal_id", "name", "key", "run_id", "sent_at", "position", "pending"]
    search_fields = ["name__exact"]
    ordering = ["-id"]
    fields = ["signal_id", "name", "key", "run_id", "subjects", "sent_at", "position", "pending"]

    def get_fields(self, request: HttpRequest, obj: WorkflowSignal | None = None) -> Any:
        """Add the payload for those who may see it."""
        may_see = request.user.has_perm(_SEE_CONTEXT)
        return [*self.fields, "payload"] if may_see else list(self.fields)


def _without_message(why: str) -> str:
    """Return a reason up to the type of the exception that it quotes: `attempt 2 at 09:00, after ValueError`."""
    told, after, error = why.partition(", after ")
    return f"{told}{after}{error.partition(':')[0]}"


def _shown(moment: datetime | None) -> str:
    """Return a time in the reader's zone, to the second, because steps follow each other quickly."""
    if moment is None:
        return "-"
    local = localtime(moment) if is_aware(moment) else moment
    return f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M:%S}"


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _entity_url(site: admin.AdminSite, run: WorkflowRun) -> str | None:
    try:
        options = apps.get_model(run.entity_type)._meta
        return reverse(f"{site.name}:{options.app_label}_{options.model_name}_change", args=[run.entity_id])
    except (LookupError, ValueError, NoReverseMatch):
        return None
