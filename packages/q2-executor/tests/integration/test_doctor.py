"""One look tells whether automation is healthy, in words, in JSON and by an exit code."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError
from django_q.models import OrmQ, Schedule

from automation.events.models import Event, EventDelivery
from automation.events.ports import Health
from automation.q2_executor import doctor, tasks
from automation.q2_executor.doctor import examine
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.schedules import install
from automation.q2_executor.verdict import ExitCode, Level
from automation.workflows.models import WorkflowRun, WorkflowSignal
from tests.fakes import FakeProcessor, FakeWorker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _healthy(worker: FakeWorker, processor: FakeProcessor) -> None:
    """Begin with a project in which everything is as it should be."""
    Schedule.objects.all().delete()
    install()
    tasks.process_scheduled_workflows()
    tasks.poll_due_events()
    tasks.cleanup_old_events()


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def found(level: Level) -> list[str]:
    return [f"{each.about}: {each.message}" for each in examine().findings if each.level is level]


def run(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    out = StringIO()
    try:
        call_command("workflow_doctor", *arguments, stdout=out)
    except SystemExit as leaving:
        return int(leaving.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_healthy_project_is_healthy():
    code, said = run()

    assert code == ExitCode.HEALTHY
    assert re.search(r"Workflows: process_scheduled: ran \d+ s ago", said)
    assert found(Level.PROBLEM) == found(Level.STOPPED) == found(Level.WARNING) == []


def test_json_tells_the_same_to_machines():
    Heartbeat.objects.filter(name="workflows").update(started_at=ago(1000), finished_at=ago(1000))

    code, said = run("--json")

    report = json.loads(said)
    assert code == report["exit_code"] == ExitCode.STOPPED
    assert report["healthy"] is False
    assert any(each["level"] == "stopped" and each["remedy"] for each in report["findings"])


@pytest.mark.parametrize(("seconds", "code"), [(145, ExitCode.HEALTHY), (155, ExitCode.STOPPED)])
def test_a_sweep_may_be_two_intervals_and_thirty_seconds_old(seconds: float, code: ExitCode):
    Heartbeat.objects.filter(name="workflows").update(started_at=ago(seconds), finished_at=ago(seconds))

    assert run()[0] == code


@pytest.mark.parametrize(("age", "code"), [("30", ExitCode.STOPPED), ("50", ExitCode.HEALTHY)])
def test_a_supervisor_says_how_old_it_may_be(age: str, code: ExitCode):
    Heartbeat.objects.filter(name="workflows").update(started_at=ago(40), finished_at=ago(40))

    assert run("--max-age", age)[0] == code


def test_the_five_minute_poll_is_not_measured_by_the_minute():
    Heartbeat.objects.filter(name="events").update(started_at=ago(590), finished_at=ago(590))
    assert found(Level.STOPPED) == []

    Heartbeat.objects.filter(name="events").update(started_at=ago(610), finished_at=ago(610))
    assert len(found(Level.STOPPED)) == 1


def test_a_days_work_that_is_not_done_is_no_sign_of_a_cluster_that_stands_still():
    Heartbeat.objects.filter(name="cleanup").update(started_at=ago(200_000), finished_at=ago(200_000))

    [warning] = found(Level.WARNING)
    assert warning.startswith("Events: cleanup_old: last ran to its end 55.6 h ago; it was begun 55.6 h ago")
    assert warning.endswith("it is wanted every 24 h")
    assert run()[0] == ExitCode.HEALTHY


def test_a_cluster_that_never_swept_has_stopped():
    Heartbeat.objects.all().delete()

    assert any("has never run" in said for said in found(Level.STOPPED))


def test_a_sweep_that_begins_and_does_not_end_is_no_reason_to_restart(processor: FakeProcessor):
    """It raises, or q2 ends it: a new cluster would do the same, and what the living one works on would be killed."""
    Heartbeat.objects.filter(name="workflows").update(started_at=ago(5), finished_at=ago(1000))

    told = re.compile(r"last ran to its end 1\d\d\d s ago; it was begun \d{1,2} s ago")
    assert any(told.search(said) for said in found(Level.PROBLEM))
    assert run()[0] == ExitCode.PROBLEM


def test_a_sweep_that_began_and_did_not_end_long_ago_has_stopped():
    Heartbeat.objects.filter(name="workflows").update(started_at=ago(151), finished_at=ago(1000))

    assert run()[0] == ExitCode.STOPPED


def test_no_exit_code_is_that_of_a_command_that_was_not_found(tmp_path):
    """Python ends with 2 when there is no manage.py, and argparse when an option is wrong."""
    missing = subprocess.run([sys.executable, str(tmp_path / "manage.py")], capture_output=True, check=False)

    assert missing.returncode not in set(ExitCode)


def test_where_sweeps_are_the_projects_own_affair_the_setting_is_named(settings):
    settings.SKIP_Q2_AUTOSCHEDULE = True
    Heartbeat.objects.all().delete()

    remedies = [each.remedy for each in examine().findings if each.level is Level.PROBLEM]
    assert len(remedies) == 2
    assert all(remedy.startswith("SKIP_Q2_AUTOSCHEDULE is True") for remedy in remedies)


def test_a_missing_schedule_is_a_problem():
    Schedule.objects.filter(name="Events: poll_due").delete()

    assert found(Level.PROBLEM) == ["schedule 'Events: poll_due': is missing"]
    assert run()[0] == ExitCode.PROBLEM


def test_a_doubled_schedule_is_a_warning():
    Schedule.objects.create(name="Events: poll_due", func="automation.q2_executor.tasks.poll_due_events")

    assert found(Level.WARNING) == ["schedule 'Events: poll_due': is there 2 times"]
    assert run()[0] == ExitCode.HEALTHY


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"func": "old.path"}, Level.PROBLEM, "calls 'old.path'"),
        ({"repeats": 0}, Level.PROBLEM, "is switched off"),
        ({"next_run": None}, Level.PROBLEM, "is switched off"),
        ({"next_run": datetime(2020, 1, 1, tzinfo=UTC)}, Level.WARNING, "q2's scheduler is not working"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_schedule_that_cannot_work_is_found(change: dict[str, Any], level: Level, said: str):
    Schedule.objects.filter(name="Events: poll_due").update(**change)

    assert any(said in each for each in found(level))


def test_without_automatic_schedules_none_is_missed(settings):
    settings.SKIP_Q2_AUTOSCHEDULE = True
    Schedule.objects.all().delete()

    assert found(Level.PROBLEM) == []


@pytest.mark.parametrize("args", ["UUID('x')", "(1, 2", "__import__('os')"])
def test_an_unreadable_schedule_of_others_is_a_problem(args: str):
    Schedule.objects.create(name="theirs", func="shop.tasks.tidy", args=args)

    assert any(said.startswith("schedule 'theirs'") for said in found(Level.PROBLEM))


def test_a_readable_schedule_of_others_is_none():
    Schedule.objects.create(name="theirs", func="shop.tasks.tidy", args="1, 'two'")

    assert found(Level.PROBLEM) == []


def test_a_queue_that_nobody_empties_is_a_warning():
    OrmQ.objects.create(key="automation", payload="x", lock=ago(500))

    assert found(Level.WARNING) == ["queue 'automation': 1 tasks have been waiting for more than 150 s"]


def test_the_queue_of_the_sweeps_is_looked_at_too(settings):
    settings.AUTOMATION_Q2 = {"SWEEP_QUEUE": "sweeps"}
    OrmQ.objects.create(key="sweeps", payload="x", lock=ago(500))

    assert "queue 'sweeps': 1 tasks have been waiting for more than 150 s" in found(Level.WARNING)


@pytest.mark.parametrize("after", ["sweeps", None])
def test_work_that_nobody_takes_is_a_problem_where_the_sweeps_go_another_way(settings: Any, after: str | None):
    """With one queue, a backlog is worked on as long as sweeps come through. With two, their heartbeats tell of one."""
    settings.AUTOMATION_Q2 = {"SWEEP_QUEUE": "sweeps"} if after else {}
    install()
    OrmQ.objects.create(key="automation", payload="", lock=ago(200))

    told = "queue 'automation': 1 tasks have been waiting for more than 150 s"
    assert (told in found(Level.PROBLEM), told in found(Level.WARNING)) == (after is not None, after is None)
    assert run()[0] == (ExitCode.PROBLEM if after else ExitCode.HEALTHY)


def test_settings_that_would_hurt_are_warnings(settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "catch_up": True}

    assert any("catch_up" in said for said in found(Level.WARNING))


def silent(**_: object) -> Any:
    raise OperationalError("connection refused")


def test_a_database_that_does_not_answer_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, processor: FakeProcessor
):
    monkeypatch.setattr(processor, "health", lambda before: silent())

    assert run()[0] == ExitCode.UNKNOWN
    code, said = run("--json")
    assert (code, json.loads(said)["healthy"]) == (ExitCode.UNKNOWN, False)
    assert found(Level.UNKNOWN) == ["events: could not be looked at: connection refused"]


@pytest.mark.parametrize(
    ("model", "code"), [(Heartbeat, ExitCode.STOPPED), (Schedule, ExitCode.PROBLEM)], ids=["stopped", "problem"]
)
def test_a_database_that_does_not_answer_hides_nothing_of_the_others(
    monkeypatch: pytest.MonkeyPatch, processor: FakeProcessor, model: Any, code: ExitCode
):
    """The database of another system is down, and the cluster too: the supervisor must learn of the cluster."""
    monkeypatch.setattr(processor, "health", lambda before: silent())
    model.objects.all().delete()

    assert run()[0] == code


def test_what_could_not_be_looked_at_says_where_to_look(monkeypatch: pytest.MonkeyPatch, processor: FakeProcessor):
    """Also where a database answers and is not migrated: that it does not answer would be untrue."""

    def unmigrated(before: datetime) -> Any:
        raise ProgrammingError('relation "automation_events_event" does not exist')

    monkeypatch.setattr(processor, "health", unmigrated)

    code, said = run()

    assert code == ExitCode.UNKNOWN
    assert 'unknown events: could not be looked at: relation "automation_events_event" does not exist' in said
    assert "Look whether the database is up, and whether `manage.py migrate` has been run on it." in said


@pytest.mark.parametrize(
    ("seconds", "told"), [(74, "74 s"), (3500, "3500 s"), (5400, "1.5 h"), (32_402, "9 h"), (200_000, "55.6 h")]
)
def test_long_times_are_told_in_hours(seconds: float, told: str):
    """At three in the morning nobody divides by 3600."""
    Heartbeat.objects.filter(name="workflows").update(started_at=ago(seconds), finished_at=ago(seconds))

    assert f"Workflows: process_scheduled: last ran to its end {told} ago" in run("--max-age", "10")[1]


@pytest.mark.parametrize("age", ["0", "-5", "nan", "inf", "soon"])
def test_an_age_that_would_never_or_always_be_exceeded_is_refused(age: str):
    """A supervisor would restart a healthy cluster for ever, or a frozen one never."""
    with pytest.raises(CommandError, match=f"--max-age.*'{age}' is not a number of seconds above 0"):
        run("--max-age", age)


def test_clocks_that_differ_are_a_warning(monkeypatch: pytest.MonkeyPatch):
    from django.db import connection

    monkeypatch.setattr(doctor, "CLOCKS_MAY_DIFFER", timedelta(microseconds=-1))

    assert any("clocks" in said for said in found(Level.WARNING)) is (connection.vendor != "sqlite")


def a_run(**fields: Any) -> WorkflowRun:
    """Store a run of which only the fields given matter."""
    at = ago(1000)
    given = {
        "id": uuid4(),
        "name": "checkout",
        "status": "ready",
        "current_step": "pay",
        "data": {},
        "next_at": at,
        "offset": timedelta(0),
        "created_at": at,
        "updated_at": at,
        **fields,
    }
    return WorkflowRun.rows.create(**given)


def an_event(**fields: Any) -> Event:
    """Store an event of which only the fields given matter."""
    at = ago(1000)
    given = {"event_name": "due", "entity_type": "shop.order", "entity_id": "1", "created_at": at, "updated_at": at}
    return Event.objects.create(**{**given, **fields})


def test_a_run_that_nobody_works_on_is_a_problem():
    a_run(next_at=ago(151))
    a_run(next_at=ago(100))

    assert found(Level.PROBLEM) == ["runs: 1 due and not worked on for more than 150 s"]


def test_a_claim_whose_worker_never_came_back_is_told_apart():
    a_run(status="running", claim_expires_at=ago(151), next_at=ago(151))

    assert found(Level.PROBLEM) == ["claims: 1 claimed by a worker that never came back for more than 150 s"]


def test_a_run_that_waits_or_has_ended_is_no_problem():
    a_run(status="waiting", next_at=None, waiting_signal="paid")
    a_run(status="completed", next_at=None)
    a_run(status="paused", pause="person", next_at=None)

    assert found(Level.PROBLEM) == []


def test_runs_that_have_failed_are_told():
    a_run(status="failed", next_at=None)

    assert found(Level.WARNING) == ["runs: 1 have failed"]
    assert run()[0] == ExitCode.HEALTHY


def test_a_signal_that_nobody_delivers_is_a_problem():
    WorkflowSignal.objects.create(signal_id=uuid4(), name="paid", pending=True, payload={}, sent_at=ago(151))
    WorkflowSignal.objects.create(signal_id=uuid4(), name="paid", pending=True, payload={}, sent_at=ago(100))
    WorkflowSignal.objects.create(signal_id=uuid4(), name="paid", pending=None, payload={}, sent_at=ago(151))

    assert found(Level.PROBLEM) == ["signals: 1 sent and not delivered for more than 150 s"]


@pytest.mark.parametrize(
    ("pause", "said"),
    [("missing", "the workflow or the step is not in this code"), ("context", "does not fit the class")],
)
def test_runs_that_are_parked_are_named_with_their_workflow(pause: str, said: str):
    a_run(status="paused", pause=pause, next_at=None)
    a_run(status="paused", pause=pause, next_at=None)

    (problem,) = found(Level.PROBLEM)
    assert problem.startswith("workflow 'checkout': 2 runs are parked")
    assert said in problem


def test_an_event_that_is_due_and_does_not_occur_is_a_problem():
    an_event(status="pending", next_at=ago(601))
    an_event(status="pending", next_at=ago(500))
    an_event(status="pending", next_at=None)
    an_event(status="occurred", next_at=None)

    assert found(Level.PROBLEM) == ["events: 1 due for more than 600 s and have not occurred"]


def test_deliveries_that_are_owed_and_those_that_failed_are_told():
    event = an_event(status="occurred")
    common = {"event": event, "callback": "shop.tell", "phase": "occurred", "offset": timedelta(0)}
    EventDelivery.objects.create(key="1", status="pending", next_at=ago(601), created_at=ago(700), **common)
    EventDelivery.objects.create(key="2", status="failed", next_at=None, created_at=ago(700), **common)
    EventDelivery.objects.create(key="3", status="parked", next_at=None, created_at=ago(700), **common)

    assert found(Level.PROBLEM) == ["deliveries: 1 due for more than 600 s and have not been made"]
    assert found(Level.WARNING) == [
        "deliveries: 1 have failed for good",
        "deliveries: 1 are parked: their callback is not in this code",
    ]


def test_a_thousand_is_told_as_a_thousand_or_more(monkeypatch: pytest.MonkeyPatch, processor: FakeProcessor):
    """The ports count no further, so as not to read a table whole."""
    health = Health(overdue=1000, owed=999, failed=1000, parked=0)
    monkeypatch.setattr(processor, "health", lambda before: health)

    assert found(Level.PROBLEM) == [
        "events: 1000 or more due for more than 600 s and have not occurred",
        "deliveries: 999 due for more than 600 s and have not been made",
    ]
    assert found(Level.WARNING) == ["deliveries: 1000 or more have failed for good"]


def test_whatever_is_not_well_is_said_with_what_to_do_about_it(settings: Any):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "catch_up": True}
    Heartbeat.objects.filter(name="workflows").delete()
    Heartbeat.objects.filter(name="events").update(started_at=ago(5), finished_at=ago(5000))
    Schedule.objects.filter(name="Events: poll_due").delete()
    Schedule.objects.filter(name="Events: cleanup_old").update(next_run=ago(5000))
    Schedule.objects.create(name="theirs", func="shop.tasks.tidy", args="UUID('x')")
    OrmQ.objects.create(key="automation", payload="x", lock=ago(500))
    for fields in ({}, {"status": "failed", "next_at": None}, {"status": "paused", "pause": "missing"}):
        a_run(**fields)
    an_event(status="pending", next_at=ago(601))

    unwell = [each for each in examine().findings if each.level is not Level.OK]

    assert len(unwell) == 11
    assert [each.about for each in unwell if not each.remedy] == []


def test_looking_changes_nothing_and_costs_little(django_assert_max_num_queries):
    for _ in range(50):
        a_run()
    before = list(WorkflowRun.rows.order_by("pk").values())

    with django_assert_max_num_queries(12):
        examine()

    assert list(WorkflowRun.rows.order_by("pk").values()) == before
