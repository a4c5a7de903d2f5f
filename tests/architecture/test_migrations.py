"""The migrations that ship are those that the models need, on whichever Django this runs."""

import os
import subprocess
import sys
from pathlib import Path

from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]


def ours() -> list[str]:
    return [config.label for config in apps.get_app_configs() if config.name.startswith("automation.")]


def test_every_app_has_a_label_of_its_own():
    """The default labels (`events`, `workflows`) clash with half of all projects."""
    assert ours() != []
    assert all(label.startswith("automation_") for label in ours())


def test_no_migration_is_missing():
    command = [sys.executable, "-m", "django", "makemigrations", "--check", "--dry-run", "--verbosity", "3", *ours()]

    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_all", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
