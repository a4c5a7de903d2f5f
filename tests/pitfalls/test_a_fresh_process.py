"""Symptom: it works in the shell and not in the worker: what a process that has just begun knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def said_by(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_all"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_knows_the_workflows_and_callbacks_of_every_app():
    said = said_by(
        "from automation.workflows.authoring.registry import registry\n"
        "from automation.events.callbacks import callback_registry\n"
        "print('inn.waiter' in {each.name for each in registry}, callback_registry.names())"
    )

    assert said.startswith("True")
    assert "tests.pitfalls.inn.automations.welcome" in said


@pytest.mark.django_db
def test_the_schedules_are_there_after_migrate():
    from django_q.models import Schedule

    names = sorted(Schedule.objects.values_list("name", flat=True))

    assert names == ["Events: cleanup_old", "Events: poll_due", "Workflows: process_scheduled"]
