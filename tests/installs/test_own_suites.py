"""Each package passes its own tests where only its wheel and the extras that it declares for tests are installed."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.installs.conftest import FOLDERS, ROOT, Installed


@pytest.mark.parametrize("folder", FOLDERS)
def test_passes_its_own_tests(install: Callable[[str], Installed], folder: str):
    installed = install(f"automation-{folder}[test]")
    suffix = os.environ.get("AUTOMATION_TEST_SUFFIX", "") + "_wheel"

    done = installed.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=ROOT / "packages" / folder,
        env={"AUTOMATION_TEST_SUFFIX": suffix},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout.splitlines()[-1]), done.stdout


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_tested_is_the_wheel_and_not_the_checkout(install: Callable[[str], Installed], folder: str):
    installed = install(f"automation-{folder}")
    module = "automation." + folder.replace("-", "_")

    where = installed.python(f"import {module}.__about__ as about; print(about.__file__)")

    assert Path(where).is_relative_to(installed.home)
