"""The order of INSTALLED_APPS does not matter to the whole house, and no app asks the database while it starts."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_save_does_the_same_whatever_the_order_of_the_apps():
    """Its callback is called, its run is reserved, its timer is set."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture.app_orders"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 7
