"""The runners of all suites: what they start side by side does not meet, and what was asked for is what runs."""

import re
import sys
from pathlib import Path

import pytest

from tools import matrix, suite

ROOT = Path(__file__).resolve().parents[2]


def test_no_two_suites_share_a_database():
    """Suites of the whole house have the same settings: one dropped the database that another was creating."""
    jobs = suite.jobs(suite.DATABASES, only=())

    suffixes = [suite._suffix(job) for job in jobs]

    assert len(jobs) > len(suite.DATABASES)
    assert len(set(suffixes)) == len(jobs)


@pytest.mark.parametrize("slow", suite.THOROUGH)
def test_a_suite_that_is_named_runs_whole(slow: str):
    """`make chaos` left out the crash test, because a plain `make test` does."""
    name, _, path = slow.partition(":")

    named = suite.jobs(["mariadb"], only=[name], thorough=False)

    assert not any(path in ignored for job in named for ignored in job.suite.ignored)


@pytest.mark.parametrize(("slow", "databases"), suite.THOROUGH.items())
def test_a_plain_run_leaves_out_what_takes_minutes(slow: str, databases: tuple[str, ...]):
    name, _, path = slow.partition(":")
    plain = [job for job in suite.jobs(suite.DATABASES, only=(), thorough=False) if job.suite.base == name]

    left_out = [job.database for job in plain if any(ignored.endswith(f"/{path}") for ignored in job.suite.ignored)]

    assert left_out == [job.database for job in plain if job.database in databases]
    assert all((job.suite.directory / ignored).exists() for job in plain for ignored in job.suite.ignored)


def test_a_package_that_is_named_runs_in_its_two_halves():
    named = suite.jobs(suite.DATABASES, only=["workflows"])

    assert [job.title for job in named if job.suite.once] == ["workflows, pure"]
    assert [job.database for job in named if not job.suite.once] == list(suite.DATABASES)


def test_a_second_name_that_is_no_suite_is_refused(capsys: pytest.CaptureFixture[str]):
    code = suite.main(["--databases", "sqlite", "--only", "architecture:test_layout.py", "no-such", "docs"])

    assert code == 1
    assert "No such suite: no-such. There are: " in capsys.readouterr().out


def test_processes_share_what_they_compile_where_python_is_not_to_write_it_beside_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each of many compiled Django anew, which took a second and a half of processor time."""
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (job, *_) = suite.jobs(["sqlite"], only=["architecture"])
    writes = "import sys, json.tool; print(sys.dont_write_bytecode)"

    code, said = suite._finish(suite._start([sys.executable, "-c", writes], job, tmp_path), limit_seconds=60)

    assert (code, said) == (0, "False\n")
    assert [path.name.partition(".")[0] for path in tmp_path.rglob("tool.*.pyc")] == ["tool"]


def test_only_a_plain_run_does_not_wait_for_the_disk():
    """CI and what is named by `--only` have the commits that production has."""

    def environments(**options: bool) -> list[str]:
        return [suite._hasty_commits(job).get("PGOPTIONS", "") for job in suite.jobs(["postgres"], (), **options)]

    assert set(environments(thorough=False)) == {"-c synchronous_commit=off"}
    assert set(environments(thorough=True)) == {""}


def test_an_environment_that_is_not_in_the_matrix_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(matrix, "environments", lambda env: {"test.py3.13-6.1": "3.13"})
    monkeypatch.setattr(matrix, "run", lambda *_: pytest.fail("nothing was to run"))

    code = matrix.main(["--environments", "test.py3.13-6.1", "test.nonsense"])

    assert code == 1
    assert "No such environment: test.nonsense. There are: test.py3.13-6.1." in capsys.readouterr().out


def test_ci_runs_both_ends_of_the_matrix():
    """Python 3.11 takes no Django newer than 5.2, so the environment of `make test` is the oldest pair."""
    said = (ROOT / ".ci" / "run").read_text()

    assert re.search(r"^export PYTHON=python3\.11$", said, re.MULTILINE)
    assert re.search(r"make test ARGS=.*--require --thorough", said)
    assert re.search(r"matrix\.py --environments test\.py3\.13-6\.1\b.* --require\b", said)
