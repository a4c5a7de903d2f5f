"""What goes wrong in a scene of crashes, carried out as `strikes` has planned it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection
from django_q.models import OrmQ

from tests.clusters.hotel.models import Stay
from tests.clusters.rig import ROOT, Cluster, Rig, children, kill, kill_group, strays
from tests.clusters.strikes import PATIENCE, Strike

RESTART_SERVER = os.environ.get("AUTOMATION_TEST_RESTART_SERVER", "")
"""A shell command that restarts the database server; without it, connections are cut, and the server is left alone."""


class Mischief:
    """Kills what a supervisor looks after, and the supervisor too."""

    def __init__(self, rig: Rig) -> None:
        self.strikes: Counter[str] = Counter()
        self._rig = rig
        self._supervisor: Cluster | None = None

    def supervise(self, **patience: str) -> None:
        """Start the supervisor that the docs show."""
        script = self._rig.folder / "supervise.sh"
        script.write_text(supervisor_in_docs())
        manage = f"{sys.executable} -m django"
        self._supervisor = self._rig.start("bash", str(script), MANAGE=manage, **{**PATIENCE, **patience})

    def strike(self, strike: Strike, moving: Sequence[Stay]) -> None:
        """Do one bad thing, or move a date."""
        self.strikes[strike.kind] += 1
        match strike.kind:
            case "a worker":
                kill(strike.victim(self._hands()))
            case "a sentinel":
                kill(strike.victim(self._sentinels()))
            case "a cluster":
                main = strike.victim(self._mains())
                kill_group(main) if main else None
            case "a supervisor":
                self._kill_supervisor(leaving_orphans=strike.how < 0.5)
            case "the queue":
                OrmQ.objects.all().delete()
            case "connections":
                cut_connections()
            case "the server":
                restart_server()
            case _:
                stay = strike.victim(moving)
                assert stay is not None
                move(stay, by=strike.how)

    def freeze(self) -> list[int]:
        """Stop the pusher, the monitor and the workers of every cluster without killing them; return the clusters."""
        for hand in self._hands():
            os.kill(hand, signal.SIGSTOP)
        return self._mains()

    def relent(self) -> None:
        """Stop, and leave a supervisor at work."""
        if self._supervisor is None or self._supervisor.process.poll() is not None:
            self.supervise()

    def _kill_supervisor(self, *, leaving_orphans: bool) -> None:
        """As if init started it anew: sometimes with all that it had started gone, sometimes with orphans left."""
        assert self._supervisor is not None
        mains = self._mains()
        self._supervisor.kill()
        if not leaving_orphans:
            for main in mains:
                kill_group(main)
        self.supervise()

    def _mains(self) -> list[int]:
        return [process for process in sorted(strays(self._rig.folder)) if is_main(process)]

    def _sentinels(self) -> list[int]:
        return [child for main in self._mains() for child in children(main)]

    def _hands(self) -> list[int]:
        return [hand for sentinel in self._sentinels() for hand in children(sentinel)]


def move(stay: Stay, *, by: float) -> None:
    """Return a stay another date, two to six seconds ahead: `by` says how far, from 0 to 1."""
    stay.arrives_at = datetime.now(UTC) + timedelta(seconds=2 + 4 * by)
    stay.save()


def is_main(process: int) -> bool:
    """Tell a cluster's main process from its children, which have the same command line."""
    try:
        if b"qcluster" not in Path(f"/proc/{process}/cmdline").read_bytes():
            return False
        return os.getpgid(process) == process
    except (OSError, ProcessLookupError):
        return False


def restart_server() -> None:
    """Restart the database server. What it starts must not look like a process of this scene, which are all killed."""
    unmarked = {key: value for key, value in os.environ.items() if not key.startswith("AUTOMATION_CLUSTER_")}
    quiet = subprocess.DEVNULL
    subprocess.run(RESTART_SERVER, shell=True, check=True, env=unmarked, stdin=quiet, stdout=quiet, stderr=quiet)


def cut_connections() -> None:
    """Cut every connection to this database but our own, as a server that is restarted does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def supervisor_in_docs() -> str:
    """Return the script that the docs show."""
    page = (ROOT / "docs" / "running-on-django-q2.md").read_text()
    return page.split("```bash\n#!/usr/bin/env bash", 1)[1].split("```", 1)[0]
