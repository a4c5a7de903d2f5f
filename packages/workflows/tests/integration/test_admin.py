"""The admin shows what is stored, escaped, to those who may see it, and acts by confirmed, logged POSTs alone."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from automation.workflows.core import engine
from automation.workflows.models import WorkflowAttempt, WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.runs.values import AttemptOutcome
from tests.integration.conftest import Heap, StillClock
from tests.parcelapp.models import Parcel

pytestmark = pytest.mark.django_db

CANARY = "<img src=x onerror=alert(1)>"
LIST = "admin:automation_workflows_workflowrun_changelist"
PAGE = "admin:automation_workflows_workflowrun_change"


@pytest.fixture
def staff() -> User:
    """Somebody who may look at runs, and no more."""
    return a_user("view_workflowrun")


def a_user(*permissions: str) -> User:
    user = User.objects.create_user("_".join(permissions) or "nobody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def a_failed_run(queue: Heap) -> WorkflowRun:
    run = engine.start("clumsy", how="no scale")
    queue.work_off()
    return WorkflowRun.objects.get(pk=run.id)


def act(client: Client, verb: str, *runs: WorkflowRun, confirmed: bool = True) -> Any:
    """Post an action, as the list page does."""
    data = {"action": f"{verb}_runs", "index": 0, "_selected_action": [run.pk for run in runs]}
    return client.post(reverse(LIST), {**data, "confirmed": "yes"} if confirmed else data, follow=True)


def test_the_list_says_why_a_run_is_not_moving_and_when_it_is_looked_at(
    clock: StillClock, queue: Heap, staff: User
) -> None:
    engine.start("waiter")
    queue.work_off()

    page = client_of(staff).get(reverse(LIST)).content.decode()

    assert "waits for signal &#x27;ops:window_open&#x27;" in page
    assert "May 17, 2030, 07:05:00" in page


def test_the_list_costs_the_same_for_many_runs(clock: StillClock, queue: Heap, staff: User) -> None:
    def spent() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse(LIST))
        return len(queries)

    client = client_of(staff)
    engine.start("waiter")
    few = spent()
    for _ in range(20):
        engine.start("waiter")

    assert spent() == few


def test_nothing_stored_reaches_a_page_unescaped(clock: StillClock, queue: Heap) -> None:
    row = a_failed_run(queue)
    texts = ("name", "current_step", "why", "error", "entity_type", "entity_id", "run_key", "waiting_signal")
    WorkflowRun.objects.filter(pk=row.pk).update(
        **dict.fromkeys(texts, CANARY),
        triggered_by_event_id=CANARY,
        data={CANARY: CANARY},
        occurrence={"name": CANARY, "entity": {"type": CANARY, "id": CANARY}},
    )
    WorkflowAttempt.objects.update(step=CANARY, detail=CANARY)
    WorkflowSignal.objects.create(
        signal_id=row.pk, name=CANARY, key=CANARY, payload={CANARY: CANARY}, sent_at=clock.now()
    )
    root = User.objects.create_superuser("root")
    signal = WorkflowSignal.objects.get()
    pages = [
        reverse(LIST),
        reverse(PAGE, args=[row.pk]),
        reverse("admin:automation_workflows_workflowsignal_changelist"),
        reverse("admin:automation_workflows_workflowsignal_change", args=[signal.pk]),
    ]

    shown = [client_of(root).get(page) for page in pages] + [act(client_of(root), "cancel", row, confirmed=False)]

    for response in shown:
        assert response.status_code == 200
        assert CANARY not in response.content.decode()
        assert "&lt;img" in response.content.decode()


def test_the_context_and_the_errors_are_for_those_who_may_see_them(clock: StillClock, queue: Heap, staff: User) -> None:
    row = a_failed_run(queue)
    WorkflowRun.objects.filter(pk=row.pk).update(data={"secret": "iban"}, error="iban")
    WorkflowAttempt.objects.update(detail="iban")
    reader = a_user("view_workflowrun", "view_workflowcontext")

    assert "iban" not in client_of(staff).get(reverse(PAGE, args=[row.pk])).content.decode()
    assert client_of(reader).get(reverse(PAGE, args=[row.pk])).content.decode().count("iban") == 3


def test_a_reason_is_told_up_to_the_type_of_the_exception_to_those_who_may_not_see_more(
    clock: StillClock, queue: Heap, staff: User
) -> None:
    row = a_failed_run(queue)
    WorkflowRun.objects.filter(pk=row.pk).update(why="attempt 2 at 09:00, after ValueError: no account iban: 7")
    reader = a_user("view_workflowrun", "view_workflowcontext")

    for page in (reverse(LIST), reverse(PAGE, args=[row.pk])):
        short, full = (client_of(user).get(page).content.decode() for user in (staff, reader))
        assert "attempt 2 at 09:00, after ValueError<" in short
        assert "iban" not in short
        assert "after ValueError: no account iban: 7" in full


def test_the_page_shows_the_timeline(clock: StillClock, queue: Heap, staff: User) -> None:
    run = engine.start("chain", steps=3)
    queue.work_off()

    page = client_of(staff).get(reverse(PAGE, args=[run.id])).content.decode()

    assert page.count("<td>goto</td>") == 2
    assert page.count("<td>complete</td>") == 1


def test_long_lines_of_the_page_are_wrapped_by_a_file_of_styles(queue: Heap) -> None:
    """Not by styles in the page, which a content security policy may forbid."""
    row = a_failed_run(queue)
    reader = a_user("view_workflowrun", "view_workflowcontext")

    page = client_of(reader).get(reverse(PAGE, args=[row.pk])).content.decode()

    (name,) = re.findall(r'<link href="/static/(automation_workflows/[^"]+)"[^>]* rel="stylesheet">', page)
    (found,) = finders.find(name, find_all=True)
    styles = Path(found).read_text()
    for field in ("timeline", "context", "failure"):
        (inside,) = re.findall(rf"(?s)field-{field}\b.*?</pre>", page)
        assert "<pre>" in inside
        assert f".field-{field} pre" in styles
    assert "white-space: pre-wrap;" in styles
    assert "overflow-wrap: anywhere;" in styles
    assert "style=" not in page
    assert "<style" not in page


@pytest.mark.parametrize(
    ("verb", "permission", "after"),
    [
        ("retry", "retry_workflowrun", WorkflowStatus.READY),
        ("cancel", "cancel_workflowrun", WorkflowStatus.CANCELLED),
        ("pause", "pause_workflowrun", WorkflowStatus.PAUSED),
        ("resume", "pause_workflowrun", WorkflowStatus.WAITING),
    ],
)
def test_an_action_acts_once_it_is_confirmed_and_is_logged(
    clock: StillClock, queue: Heap, verb: str, permission: str, after: WorkflowStatus
) -> None:
    row = a_failed_run(queue) if verb == "retry" else WorkflowRun.objects.get(pk=engine.start("sleeper").id)
    queue.work_off()
    if verb == "resume":
        engine.pause(row.pk)
    before = WorkflowRun.objects.get(pk=row.pk)
    user = a_user("view_workflowrun", permission)

    asked = act(client_of(user), verb, row, confirmed=False)
    assert "Are you sure?" in asked.content.decode()
    assert WorkflowRun.objects.get(pk=row.pk).revision == before.revision

    act(client_of(user), verb, row)
    assert WorkflowRun.objects.get(pk=row.pk).status == after
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (user, str(row.pk))
    assert verb in entry.change_message


def test_an_action_without_its_permission_does_nothing(clock: StillClock, queue: Heap, staff: User) -> None:
    run = engine.start("sleeper")
    row = WorkflowRun.objects.get(pk=run.id)

    for verb in ("retry", "cancel", "pause", "resume"):
        act(client_of(staff), verb, row)

    assert WorkflowRun.objects.get(pk=row.pk).revision == row.revision
    assert not LogEntry.objects.exists()


def test_a_get_never_acts(clock: StillClock, queue: Heap) -> None:
    row = WorkflowRun.objects.get(pk=engine.start("sleeper").id)
    root = User.objects.create_superuser("root")

    client_of(root).get(
        reverse(LIST), {"action": "cancel_runs", "index": 0, "_selected_action": row.pk, "confirmed": "yes"}
    )

    assert WorkflowRun.objects.get(pk=row.pk).revision == row.revision


def test_nobody_edits_adds_or_deletes_a_row(clock: StillClock, queue: Heap) -> None:
    row = WorkflowRun.objects.get(pk=engine.start("sleeper").id)
    client = client_of(User.objects.create_superuser("root"))

    assert client.post(reverse(PAGE, args=[row.pk]), {"status": "completed"}).status_code == 403
    assert client.get(reverse("admin:automation_workflows_workflowrun_add")).status_code == 403
    assert client.get(reverse("admin:automation_workflows_workflowrun_delete", args=[row.pk])).status_code == 403


@pytest.mark.parametrize("term", ["{run}", "{event}", "parcelapp.parcel:{parcel}"])
def test_a_run_is_found_by_exactly_what_was_typed(clock: StillClock, queue: Heap, staff: User, term: str) -> None:
    parcel = Parcel.objects.create()
    wanted, other = engine.start("sleeper"), engine.start("sleeper")
    WorkflowRun.objects.filter(pk=wanted.id).update(
        triggered_by_event_id="happened-1", entity_type="parcelapp.parcel", entity_id=str(parcel.pk)
    )

    page = client_of(staff).get(reverse(LIST), {"q": term.format(run=wanted.id, event="happened-1", parcel=parcel.pk)})

    assert str(wanted.id)[-12:] in page.content.decode()
    assert str(other.id)[-12:] not in page.content.decode()


@pytest.mark.parametrize("term", ["x", "%", ":", "'; DROP", "\x00", "é" * 300])
def test_odd_searches_find_nothing_and_break_nothing(clock: StillClock, staff: User, term: str) -> None:
    assert client_of(staff).get(reverse(LIST), {"q": term}).status_code == 200


def test_lists_never_print_entities(
    clock: StillClock, queue: Heap, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entity's `__str__` may query, or raise."""
    parcel = Parcel.objects.create()
    run = engine.start("sleeper")
    WorkflowRun.objects.filter(pk=run.id).update(entity_type="parcelapp.parcel", entity_id=str(parcel.pk))

    def refuse(self: Parcel) -> str:
        raise AssertionError("a list printed an entity")

    monkeypatch.setattr(Parcel, "__str__", refuse)

    assert f"parcelapp.parcel:{parcel.pk}" in client_of(staff).get(reverse(LIST)).content.decode()
    assert client_of(staff).get(reverse(PAGE, args=[run.id])).status_code == 200


def test_every_outcome_fits_its_column() -> None:
    longest = max(len(outcome.value) for outcome in AttemptOutcome)

    assert longest <= WorkflowAttempt._meta.get_field("outcome").max_length  # type: ignore[union-attr,operator]


def test_a_page_offers_the_verbs_that_the_run_and_the_person_allow(clock: StillClock, queue: Heap) -> None:
    client = client_of(a_user("view_workflowrun", "retry_workflowrun", "cancel_workflowrun", "pause_workflowrun"))
    failed, waiting, paused = a_failed_run(queue), engine.start("waiter"), engine.start("waiter")
    queue.work_off()
    engine.pause(paused.id)

    offered = {
        name: re.findall(r'name="action" value="(\w+)_runs"', client.get(reverse(PAGE, args=[pk])).content.decode())
        for name, pk in {"failed": failed.pk, "waiting": waiting.id, "paused": paused.id}.items()
    }

    assert offered == {"failed": ["retry"], "waiting": ["cancel", "pause"], "paused": ["cancel", "resume"]}
