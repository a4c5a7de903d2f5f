"""What `running_cluster` refuses; a real cluster is started by the tests of docs/testing.md."""

import json
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.db import connection

from automation.testing import Harness
from automation.testing.cluster import DATABASES, SETTINGS, RunningCluster, running_cluster


def test_a_fake_queue_is_refused_because_the_cluster_would_get_nothing(tmp_path):
    with Harness(), pytest.raises(RuntimeError, match="Leave the fixture `automation` out"), running_cluster(tmp_path):
        pass


def test_a_database_in_memory_is_refused_because_no_other_process_can_open_it(tmp_path, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "NAME", "file:memorydb_default?mode=memory&cache=shared")

    refusal = r"in memory, which no other process can open(?s:.*)test\.sqlite3"
    with pytest.raises(ValueError, match=refusal), running_cluster(tmp_path):
        pass


def test_the_cluster_gets_the_settings_of_the_project_on_the_databases_of_the_test():
    said = subprocess.run(
        [sys.executable, "-c", "from automation.testing import cluster_settings as s; print(s.TIME_ZONE, s.DATABASES)"],
        env={SETTINGS: "tests.settings", DATABASES: json.dumps({"default": "the-one-of-the-test"}), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.startswith("Europe/Berlin"), said.stderr
    assert "'NAME': 'the-one-of-the-test'" in said.stdout


class TestWaiting:
    @pytest.fixture
    def cluster(self, tmp_path):
        log = tmp_path / "log"
        log.write_text("line one\nWorker died\n")
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        cluster = RunningCluster(process=process, log=log)
        yield cluster
        cluster.stop()

    def test_gives_what_the_condition_gives(self, cluster):
        found = iter([None, 0, "here"])

        assert cluster.wait_until(lambda: next(found)) == "here"

    def test_shows_what_the_cluster_said_when_time_is_over(self, cluster):
        with pytest.raises(AssertionError, match=r"(?s)did not come true within 0:00:00.*Worker died"):
            cluster.wait_until(lambda: False, within=timedelta(0))

    def test_does_not_wait_for_a_cluster_that_has_ended(self, cluster):
        cluster.kill()

        with pytest.raises(AssertionError, match=r"(?s)has ended by itself.*Worker died"):
            cluster.wait_until(lambda: False)

    def test_stopping_ends_it(self, cluster):
        cluster.stop()

        assert cluster.process.poll() is not None


def test_what_a_dead_main_process_has_left_behind_is_killed_too(tmp_path):
    """Orphaned workers would take the messages of the next test."""
    leaves = (
        "import subprocess as s, sys\n"
        "sleeping = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(s.Popen(sleeping, stdout=s.DEVNULL).pid)"
    )
    main = subprocess.Popen([sys.executable, "-c", leaves], stdout=subprocess.PIPE, text=True, start_new_session=True)
    orphan = int(main.communicate(timeout=60)[0])
    assert is_alive(orphan)

    RunningCluster(process=main, log=tmp_path / "log").stop()

    end = time.monotonic() + 60
    while is_alive(orphan):
        assert time.monotonic() < end, "the orphan is still alive"
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Tell a process that runs from one that is gone, or dead and not yet collected by whoever inherited it."""
    try:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("There is no `ps` here to look at processes with.")
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")
