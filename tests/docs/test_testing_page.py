"""The tests that docs/testing.md shows pass, as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import Page, Project

PAGE = Page("docs/testing.md")
TESTS = sorted(name for name in PAGE.files if "/test_" in name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(PAGE, tmp_path_factory.mktemp("project"))


def run(project: Project, *arguments: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            "--ds=settings_test",
            *arguments,
        ],
        cwd=project.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_passes(project: Project):
    assert " passed" in run(project, *TESTS)


def test_in_parallel_and_in_any_order_too(project: Project):
    fast = [name for name in TESTS if "cluster" not in name]

    assert " passed" in run(project, "-n", "4", *fast)


def test_the_page_names_an_example_for_each_thing_it_promises():
    assert {Path(name).stem for name in TESTS} >= {
        "test_reminder",
        "test_timeout",
        "test_crashes",
        "test_unsafe",
        "test_causes",
        "test_steering",
        "test_cluster",
        "test_unittest",
    }
