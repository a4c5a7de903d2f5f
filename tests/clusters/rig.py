"""A database and clusters for one scene: made, watched, killed and cleared away."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection, connections

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Cluster:
    """One `qcluster` in a process group of its own."""

    process: "subprocess.Popen[bytes]"

    def sentinel(self) -> int | None:
        """Return the process that guards the others."""
        return next(iter(children(self.process.pid)), None)

    def hands(self) -> list[int]:
        """Return the workers, the monitor and the pusher."""
        sentinel = self.sentinel()
        return [] if sentinel is None else children(sentinel)

    def kill(self) -> None:
        """Kill the whole group, whoever of it is left."""
        kill_group(self.process.pid)
        self.process.wait()


@dataclass(slots=True)
class Rig:
    """What a scene works with."""

    folder: Path
    clusters: list[Cluster] = field(default_factory=list)

    def start(self, *command: str, **environment: str) -> Cluster:
        """Start a cluster, or another command that has a group of its own."""
        arguments = command or (sys.executable, "-m", "django", "qcluster")
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.remember(process.pid)
        self.clusters.append(Cluster(process))
        return self.clusters[-1]

    def remember(self, group: int) -> None:
        """Note a process group, so that whoever plays this scene can kill it when the scene cannot."""
        with (self.folder / "groups").open("a") as groups:
            groups.write(f"{group}\n")

    def stop(self) -> None:
        """Kill everything that was started."""
        kill_all(self.folder)
        for cluster in self.clusters:
            cluster.process.wait()


def end_with_parent() -> None:
    """Let this process end in order, and clear away what it started, when whoever plays the scene is killed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@contextmanager
def rig() -> Iterator[Rig]:
    """Make the database, with everything migrated, and leave nothing behind."""
    made = Rig(folder=Path(os.environ["AUTOMATION_CLUSTER_FOLDER"]))
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield made
    finally:
        made.stop()
        connections.close_all()
        connection.creation.destroy_test_db(str(connection.settings_dict["NAME"]), verbosity=0)


def until(claim: Callable[[], Any], *, seconds: float, what: str, tell: Callable[[], Any] = dict) -> Any:
    """Wait until the claim holds; return its value. Raises AssertionError with what `tell` gives after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := claim():
                return value
        except DatabaseError:
            # A scene may have cut our own connection off.
            connection.close()
        time.sleep(0.1)
    raise AssertionError(f"Not within {seconds} s: {what}. {tell()}")


def children(process: int) -> list[int]:
    """Return the children of a process, in the order in which they were made."""
    try:
        listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in listed.split()]


def kill(process: int | None) -> bool:
    """Kill one process, as the kernel does when memory runs out; return whether there was one."""
    if process is None:
        return False
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_group(group: int) -> None:
    """Kill a process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_all(folder: Path) -> None:
    """Kill every group that was noted in this folder, and whoever else was started with it in the environment."""
    noted = folder / "groups"
    for group in noted.read_text().split() if noted.exists() else ():
        kill_group(int(group))
    for process in strays(folder):
        kill(process)


def strays(folder: Path) -> list[int]:
    """Return the processes, but this one, that carry the folder of a scene in their environment."""
    mark = f"AUTOMATION_CLUSTER_FOLDER={folder}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            carries = mark in environ.read_bytes().split(b"\0")
        except OSError:
            continue
        if carries and int(environ.parent.name) != os.getpid():
            found.append(int(environ.parent.name))
    return found
