"""The three schedules are there exactly once, by the guide's names, whoever installs them and how often."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from automation.q2_executor.schedules import install
from tests.fakes import FakeProcessor, FakeWorker
from tests.queue import drain, packages

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["Events: cleanup_old", "Events: poll_due", "Workflows: process_scheduled"]


@pytest.fixture(autouse=True)
def _none_yet() -> None:
    Schedule.objects.all().delete()


def names() -> list[str]:
    return sorted(Schedule.objects.values_list("name", flat=True))


def test_migrate_installs_them_with_their_intervals():
    call_command("migrate", verbosity=0)

    rhythms = set(Schedule.objects.values_list("name", "schedule_type", "minutes", "repeats"))
    assert rhythms == {
        ("Workflows: process_scheduled", "I", 1, -1),
        ("Events: poll_due", "I", 5, -1),
        ("Events: cleanup_old", "D", None, -1),
    }


def test_the_command_installs_them_and_says_so():
    out = StringIO()

    call_command("setup_schedules", stdout=out)

    assert names() == NAMES
    assert "Workflows: process_scheduled: installed" in out.getvalue()


def test_installing_again_changes_nothing():
    install()
    before = list(Schedule.objects.order_by("pk").values())

    changes = install()

    assert [change.did for change in changes] == ["unchanged"] * 3
    assert list(Schedule.objects.order_by("pk").values()) == before


def test_with_skip_neither_migrate_nor_the_command_installs_any(settings):
    settings.SKIP_Q2_AUTOSCHEDULE = True
    out = StringIO()

    call_command("migrate", verbosity=0)
    call_command("setup_schedules", stdout=out)

    assert names() == []
    assert "--force" in out.getvalue()


def test_the_command_can_be_told_to_install_all_the_same(settings):
    settings.SKIP_Q2_AUTOSCHEDULE = True

    call_command("setup_schedules", force=True, stdout=StringIO())

    assert names() == NAMES


def test_doubles_are_removed_and_what_differs_is_set_right():
    install()
    Schedule.objects.filter(name=NAMES[2]).update(func="old.path", minutes=9, repeats=0, next_run=None)
    Schedule.objects.create(name=NAMES[2], func="old.path")

    changes = install()

    row = Schedule.objects.get(name=NAMES[2])
    assert (row.func, row.minutes, row.repeats) == (
        "automation.q2_executor.tasks.process_scheduled_workflows",
        1,
        -1,
    )
    assert row.next_run is not None
    assert {change.title: change.did for change in changes}[NAMES[2]] == "repaired"


def test_an_operators_cluster_and_the_next_run_are_kept():
    install()
    at = datetime(2030, 1, 1, tzinfo=UTC)
    Schedule.objects.filter(name=NAMES[1]).update(cluster="slow", next_run=at)

    install()

    row = Schedule.objects.get(name=NAMES[1])
    assert (row.cluster, row.next_run) == ("slow", at)


def test_schedules_of_others_are_left_alone():
    Schedule.objects.create(name="theirs", func="shop.tasks.tidy")

    install()

    assert Schedule.objects.filter(name="theirs", func="shop.tasks.tidy").count() == 1


def test_the_intervals_and_the_queue_are_settings(settings):
    settings.AUTOMATION_Q2 = {
        "SWEEP_EVERY": timedelta(seconds=90),
        "POLL_EVERY": timedelta(minutes=2),
        "SWEEP_QUEUE": "sweeps",
    }

    install()

    rows = set(Schedule.objects.exclude(minutes=None).values_list("minutes", "cluster"))
    assert rows == {(2, "sweeps")}, "q2 knows whole minutes: 90 s become 2"


def test_a_cluster_of_another_name_than_the_project_takes_them(settings, q2):
    """q2 gives schedules that name no cluster to the cluster that is called like `name`, and there is none."""
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "cluster_name": "jobs"}
    q2(CLUSTER_NAME="jobs")
    install()
    Schedule.objects.update(next_run=datetime.now(UTC) - timedelta(seconds=1))

    scheduler()

    assert OrmQ.objects.filter(key="jobs").count() == 3


def test_the_schedules_of_a_package_that_was_taken_out_are_removed(monkeypatch: pytest.MonkeyPatch):
    """Their tasks would only raise, every five minutes."""
    install()
    Schedule.objects.create(name=NAMES[0], func="shop.tasks.tidy")
    is_installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda app: app != "automation.events" and is_installed(app))

    changes = install()

    assert {change.title: change.did for change in changes} == {
        NAMES[0]: "removed",
        NAMES[1]: "removed",
        NAMES[2]: "unchanged",
    }
    assert set(Schedule.objects.values_list("name", "func")) == {
        (NAMES[0], "shop.tasks.tidy"),
        (NAMES[2], "automation.q2_executor.tasks.process_scheduled_workflows"),
    }


def test_two_that_install_at_once_install_three():
    barrier = threading.Barrier(2)
    errors: list[BaseException] = []

    def go() -> None:
        try:
            barrier.wait(timeout=60)
            install()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    assert errors == []
    assert names() == NAMES


def test_q2_can_read_them_and_their_tasks_leave_no_trace(worker: FakeWorker, processor: FakeProcessor):
    install()
    Schedule.objects.update(next_run=datetime.now(UTC) - timedelta(seconds=1))

    scheduler()

    assert [(each["save"], each["ack_failure"], each["cached"]) for each in packages()] == [(False, True, False)] * 3
    drain()
    assert (worker.sweeps, processor.polls, processor.cleaned) == (1, [24], [30])


def test_doubled_schedules_do_no_harm_at_run_time(worker: FakeWorker, processor: FakeProcessor):
    """A second row made by hand, or by an old version: the sweep runs twice, and that is all."""
    install()
    Schedule.objects.create(name=NAMES[2], func="automation.q2_executor.tasks.process_scheduled_workflows")
    Schedule.objects.update(next_run=datetime.now(UTC) - timedelta(seconds=1))

    scheduler()
    drain()

    assert worker.sweeps == 2
    assert OrmQ.objects.filter(lock__gt=datetime.now(UTC)).count() == 1, "one watchdog"


def test_migrating_q2_away_does_not_break_migrate():
    """Half-migrated projects: q2's tables are gone, ours are there."""
    call_command("migrate", "django_q", "zero", verbosity=0)
    try:
        call_command("migrate", "automation_q2_executor", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)

    assert names() == NAMES
