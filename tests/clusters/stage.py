"""Plays scenes in processes of their own, for tests."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.clusters.rig import ROOT, kill_all, kill_group

REDIS = os.environ.get("AUTOMATION_TEST_REDIS", "redis://127.0.0.1:6379/9")


def play(scene: str, *, limit_seconds: float, broker: str = "orm", **options: Any) -> dict[str, Any]:
    """Play a scene to its end; return the facts that it reports. Options become its keyword arguments.

    `q2` changes Q_CLUSTER, `every` the intervals of AUTOMATION_Q2 in seconds,
    `claims` the durations of AUTOMATION_WORKFLOWS in seconds, `calls` those of AUTOMATION_EVENTS,
    `queues` the queues of AUTOMATION_Q2.
    """
    with tempfile.TemporaryDirectory(prefix="automation-clusters-") as name:
        folder = Path(name)
        process = _start(scene, folder, broker, options)
        try:
            said, _ = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            said = _end(process)
            raise AssertionError(
                f"Scene {scene!r} did not end within {limit_seconds} s.\n{said}\n{_log(folder)}"
            ) from None
        finally:
            kill_all(folder)
        assert process.returncode == 0, f"Scene {scene!r} failed.\n{said}\n{_log(folder)}"
        facts: dict[str, Any] = json.loads(said.splitlines()[-1])
        return facts


def _end(process: "subprocess.Popen[str]") -> str:
    """Let the scene clear its database away, if it still can; return what it said."""
    process.terminate()
    try:
        return process.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        return process.communicate()[0]


def _start(scene: str, folder: Path, broker: str, options: dict[str, Any]) -> "subprocess.Popen[str]":
    q2, every, claims, calls, queues = (options.pop(key, {}) for key in ("q2", "every", "claims", "calls", "queues"))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.clusters.scenes", scene, json.dumps(options)],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.clusters.settings",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "AUTOMATION_CLUSTER_NAME": f"automation_{scene}_{uuid4().hex[:8]}",
            "AUTOMATION_CLUSTER_FOLDER": str(folder),
            "AUTOMATION_CLUSTER_BROKER": broker,
            "AUTOMATION_CLUSTER_Q2": json.dumps(q2),
            "AUTOMATION_CLUSTER_EVERY": json.dumps(every),
            "AUTOMATION_CLUSTER_CLAIMS": json.dumps(claims),
            "AUTOMATION_CLUSTER_CALLS": json.dumps(calls),
            "AUTOMATION_CLUSTER_QUEUES": json.dumps(queues),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _log(folder: Path) -> str:
    log = folder / "log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-60:]) if log.exists() else "(no log)"
