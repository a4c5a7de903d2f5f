"""The tests that docs/testing.md shows pass, as a reader would run them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page, Project

PAGE = Page("docs/testing.md")
TESTS = sorted(name for name in PAGE.files if "/test_" in name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(PAGE, tmp_path_factory.mktemp("project"))


def run(project: Project, *arguments: str, fails: bool = False) -> str:
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
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


def test_every_example_passes(project: Project):
    assert " passed" in run(project, *TESTS)


def test_in_parallel_and_in_any_order_too(project: Project):
    fast = [name for name in TESTS if "cluster" not in name]

    assert " passed" in run(project, "-n", "4", *fast)


def test_the_cluster_is_noticed_whatever_it_logs_in_whichever_language(project: Project):
    (project.folder / "settings_quiet.py").write_text(
        'from settings_test import *\n\nLANGUAGE_CODE = "de"\nQ_CLUSTER = {**Q_CLUSTER, "log_level": "WARNING"}\n'
    )

    assert " passed" in run(project, "--ds=settings_quiet", "bookings/test_cluster.py")


@pytest.mark.parametrize(
    ("begins", "name", "right", "wrong"),
    [
        ("Step 'remind'", "test_unsafe.py", "with pytest.raises", "if True: #"),
        ("AssertionError", "test_timeout.py", "automation.assert_waiting", "automation.assert_completed"),
    ],
    ids=["unsafe step", "timeline"],
)
def test_a_message_is_shown_as_it_is(project: Project, begins: str, name: str, right: str, wrong: str):
    """Each line of it, but for the keys of runs and the numbers of messages."""
    path = f"bookings/as_shown_{name}"
    (project.folder / path).write_text(PAGE.files[f"bookings/{name}"].replace(right, wrong))
    blocks = MESSAGE.findall((ROOT / PAGE.path).read_text())
    (shown,) = (text for language, text in blocks if not language and text.startswith(begins))

    said = keyless(run(project, path, "-p", "no:randomly", fails=True))

    assert [line for line in keyless(shown).splitlines() if line.strip() not in said] == []


MESSAGE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def keyless(text: str) -> str:
    """Return a text without what differs from one run of a test to the next."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{8}-…|#\d+", "*", text)


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
