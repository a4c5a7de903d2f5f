"""Run every suite of the house and add the results up: what `make test` and CI do.

Each package's suite runs in a pytest process of its own, as its users would run it, and so does each folder of the
whole-house tests. Suites that touch a database run on SQLite always, and on PostgreSQL and MariaDB when those answer
(with `--require`, the run fails when they do not). Some suites run side by side. The last line counts all tests.
"""

import argparse
import contextlib
import hashlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
DATABASES = ("sqlite", "postgres", "mariadb")
ONCE = ("architecture", "docs", "examples", "installs")
"""Folders of `tests/` that do not depend on the database: they run once. Every other folder runs on each."""
PURE = ("unit", "simulation")
"""Folders of a package's tests that touch no database: they run once, the rest of the package runs on each."""
SERVERS = ("postgres", "mariadb")
THOROUGH = {
    "bridge:model": DATABASES,
    "installs:test_own_suites.py": DATABASES,
    "clusters:test_backlog.py": DATABASES,
    "clusters:test_crashes.py": DATABASES,
    "clusters:test_docs.py": DATABASES,
    "clusters:test_flushed.py": DATABASES,
    "clusters:test_frozen.py": DATABASES,
    "clusters:test_grown.py": DATABASES,
    "clusters:test_piling_up.py": DATABASES,
    "clusters:test_redis.py": DATABASES,
    "clusters:test_stale.py": DATABASES,
    "docs:test_start.py": DATABASES,
    "docs:test_testing_page.py": DATABASES,
    "events:integration/test_errors.py": SERVERS,
    "events:integration/test_load.py": SERVERS,
    "events:model": ("mariadb",),
    "guide:test_newcomer_in_any_order.py": DATABASES,
    "testing:integration/test_crashes.py": SERVERS,
    "workflows:integration/test_barriers.py": SERVERS,
    "workflows:integration/test_storage_contract.py": SERVERS,
    "workflows:unit/protocol": DATABASES,
}
"""Left to CI, which runs with `--thorough`, on these databases: each package's suite from its wheel alone, what waits
long, what takes minutes on a server and differs little from one to the other, and the models of the protocol, which
change with it alone. Named as for `--only`."""
SLOW_FIRST = ("installs", "workflows", "workflows, pure", "events", "testing", "clusters", "docs", "q2-executor")
"""Started first, so that no lane begins something long when the others have ended. The rest follow in any order."""
LANES = (os.cpu_count() or 1) + 1
"""One more than there are cores, because suites with real clusters and databases wait for those half of the time."""
LIMIT_SECONDS = 20 * 60 if not os.environ.get("AUTOMATION_LONG") else 6 * 60 * 60
"""A suite that has not ended by then hangs: it is stopped and counts as failed."""
SHOWN_LINES = 400
"""Of a suite that failed: enough for some failures, not for thousands of log lines."""
RECALLED_LINES = 30
"""Of each suite that failed, said once more at the end."""
REASONS = ("E  ", "FAILED ", "ERROR ", "Stopped after ")
"""How the lines of pytest's output begin that name a failure."""
TEST_SECONDS = 240
"""A test that takes longer has its stack printed, so that a suite that is stopped says where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One folder of tests, run by one pytest process."""

    name: str
    directory: Path
    """Where pytest is started: the package, or the root for the whole-house tests."""
    targets: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    once: bool = False

    @property
    def base(self) -> str:
        """By what it is named to `--only`: a package's two halves go by the one name."""
        return self.name.partition(", ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A suite on a database."""

    suite: Suite
    database: str
    hasty: bool = False
    """Its commits need not outlive a crash of the server: no test causes one, and to wait for the disk takes long."""

    @property
    def title(self) -> str:
        """What the report calls it."""
        return self.suite.name if self.suite.once else f"{self.suite.name} on {self.database}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a job."""

    job: Job
    passed: int
    failed: int
    skipped: int
    seconds: float
    output: str


def suites() -> list[Suite]:
    """Find the suites, the slow ones first so that all lanes end together."""
    house = sorted(path for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py")))
    packages = sorted(path for path in (ROOT / "packages").iterdir() if (path / "pyproject.toml").exists())
    found = [
        Suite(name=path.name, directory=ROOT, targets=(f"tests/{path.name}",), once=path.name in ONCE) for path in house
    ]
    found += [part for path in packages for part in _halves(path)]
    return sorted(found, key=lambda suite: (*SLOW_FIRST, suite.name).index(suite.name))


def _halves(package: Path) -> list[Suite]:
    """Return what needs no database, run once, and what does."""
    pure = tuple(f"tests/{name}" for name in PURE if (package / "tests" / name).is_dir())
    rest = Suite(name=package.name, directory=package, targets=("tests",), ignored=pure)
    return [rest, Suite(name=f"{package.name}, pure", directory=package, targets=pure, once=True)] if pure else [rest]


def jobs(databases: Sequence[str], only: Sequence[str], *, thorough: bool = True) -> list[Job]:
    """Pair the suites with the databases; `only` names the suites wanted, or a part as `name:path`; none means all.

    What is named runs whole, whether or not the run is thorough.
    """
    chosen = [part for suite in suites() for part in _parts(suite, only)]
    paired = [
        Job(suite=suite, database=database)
        for suite in chosen
        for database in (databases[:1] if suite.once else databases)
    ]
    return paired if thorough or only else [_without_what_is_slow(job) for job in paired]


def _without_what_is_slow(job: Job) -> Job:
    folder = "tests" if job.suite.directory != ROOT else f"tests/{job.suite.name}"
    slow = [
        f"{folder}/{path}"
        for name, _, path in (key.partition(":") for key, on in THOROUGH.items() if job.database in on)
        if name == job.suite.base
    ]
    return replace(job, suite=replace(job.suite, ignored=(*job.suite.ignored, *slow)), hasty=True)


def unknown(only: Sequence[str]) -> list[str]:
    """Return those of the names that belong to no suite."""
    names = {suite.base for suite in suites()}
    return [wanted for wanted in only if wanted.partition(":")[0] not in names]


def _parts(suite: Suite, only: Sequence[str]) -> list[Suite]:
    """Return what is wanted of a suite; a part is named with its path below the suite's folder of tests."""
    base, half = suite.base, suite.base != suite.name
    paths = [path for name, _, path in (wanted.partition(":") for wanted in only) if name == base]
    if not only or "" in paths:
        return [suite]
    root = "tests" if suite.directory != ROOT else f"tests/{suite.name}"
    return [
        replace(suite, name=f"{base}:{path}", targets=(f"{root}/{path}",), ignored=())
        for path in paths
        if (path.partition("/")[0] in PURE) == half
    ]


def run(job: Job, extra: Sequence[str], reports: Path) -> Outcome:
    """Run one job to its end and read its counts from pytest's own report."""
    report = reports / f"{job.suite.name}-{job.database}.xml".replace("/", "-")
    command = [sys.executable, "-m", "pytest", *job.suite.targets, "-q", "-rfEs", f"--junitxml={report}"]
    command += [f"--ignore={path}" for path in job.suite.ignored]
    command += ["-o", f"faulthandler_timeout={TEST_SECONDS}", *extra]
    began = time.monotonic()
    code, output = _finish(_start(command, job, reports), LIMIT_SECONDS)
    passed, failed, skipped = _counts(report)
    if code != 0:
        # A crash at collection, or no test at all, is a failure that pytest's report does not count.
        failed = max(failed, 1)
    return Outcome(
        job=job, passed=passed, failed=failed, skipped=skipped, seconds=time.monotonic() - began, output=output
    )


def _start(command: Sequence[str], job: Job, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=job.suite.directory,
        env={
            **os.environ,
            "AUTOMATION_TEST_DATABASE": job.database,
            "AUTOMATION_TEST_SUFFIX": _suffix(job),
            **_compiled_once(folder),
            **_hasty_commits(job),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A group of its own: whatever the suite started ends with it.
        start_new_session=True,
    )


def _compiled_once(folder: Path) -> dict[str, str]:
    """Let the processes of a run share what they compile, where PYTHONDONTWRITEBYTECODE keeps it out of the checkout.

    A run starts many, with the clusters and scripts of its tests, and of a short one's time most goes into that.
    """
    if not sys.dont_write_bytecode:
        return {}
    # Empty is as good as not set.
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _hasty_commits(job: Job) -> dict[str, str]:
    """Let PostgreSQL answer a commit before it is on the disk; MariaDB has that for the whole server alone."""
    return {"PGOPTIONS": "-c synchronous_commit=off"} if job.hasty else {}


def _finish(process: "subprocess.Popen[str]", limit_seconds: int) -> tuple[int, str]:
    _running.add(process)
    try:
        output, _ = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        output, _ = process.communicate()
        return 1, f"{output}\nStopped after {limit_seconds} seconds: this suite hangs."
    finally:
        _running.discard(process)
    return process.returncode, output


_running: "set[subprocess.Popen[str]]" = set()


def _kill(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _suffix(job: Job) -> str:
    """Name databases after this checkout, Python and job: neither two runs nor two lanes ever share a database.

    The suite is part of it, because several share their settings; the kind of database, because a suite may keep a
    second one in a file whatever its first one is.
    """
    return "_" + hashlib.sha256(f"{ROOT}{sys.prefix}{job.title}{job.database}".encode()).hexdigest()[:6]


def _counts(report: Path) -> tuple[int, int, int]:
    if not report.exists():
        return 0, 1, 0
    passed = failed = skipped = 0
    for found in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 (pytest wrote it just now)
        tests, bad, left_out = (int(found.get(key, 0)) for key in ("tests", "failures", "skipped"))
        errors = int(found.get("errors", 0))
        passed, failed, skipped = passed + tests - bad - errors - left_out, failed + bad + errors, skipped + left_out
    return passed, failed, skipped


def answering(databases: Sequence[str]) -> dict[str, str]:
    """Give, for each database, why it cannot be used here, or an empty string when it answers."""
    return {database: _silence(database) for database in databases}


def _silence(database: str) -> str:
    if database == "sqlite":
        # It is part of Python.
        return ""
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / "tools" / "database_answers.py"],
        env={**os.environ, "AUTOMATION_TEST_DATABASE": database},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (asked.stdout or asked.stderr).strip().splitlines() or ["it gave no reason"]
    return said[-1] if asked.returncode else ""


def report(outcome: Outcome) -> None:
    """Print one line for a job that passed, and what it said at the end for one that failed."""
    counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
    mark = "FAILED" if outcome.failed else "ok"
    print(f"  {mark:6} {outcome.job.title:36} {counts} in {outcome.seconds:.0f} s", flush=True)
    for line in outcome.output.splitlines()[-SHOWN_LINES:] if outcome.failed else _skips(outcome.output):
        print(f"         | {line}", flush=True)


def recall(outcome: Outcome) -> None:
    """Print again, just before the counts, which tests failed and with what: of a long log one reads the end."""
    if outcome.failed:
        print(f"FAILED in {outcome.job.title}:")
        said = [line for line in outcome.output.splitlines() if line.startswith(REASONS)] or outcome.output.splitlines()
        for line in said[-RECALLED_LINES:]:
            print(f"  {line}")


def _skips(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("SKIPPED")]


def main(argv: Sequence[str]) -> int:
    """Run what was asked for; return the exit code."""
    options, extra = _options(argv)
    if strangers := unknown(options.only):
        there_are = sorted({suite.base for suite in suites()})
        print(f"No such suite: {', '.join(strangers)}. There are: {', '.join(there_are)}.")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    silent = {name: why for name, why in answering(options.databases).items() if why}
    databases = [name for name in options.databases if name not in silent]
    print(f"Python {platform.python_version()}, Django {_django()}; databases: {', '.join(databases)}")
    for name, why in silent.items():
        print(f"{name} did not answer, so nothing runs on it: {why}")
    if silent and options.require:
        print(f"Required here, and missing: {', '.join(silent)}. Start them, or run without --require.")
        return 1
    return _run_all(jobs(databases, options.only, thorough=options.thorough), extra, lanes=options.lanes)


def _run_all(wanted: Sequence[Job], extra: Sequence[str], *, lanes: int) -> int:
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="automation-suite-") as folder, ThreadPoolExecutor(lanes) as pool:
        try:
            for done in as_completed([pool.submit(run, job, extra, Path(folder)) for job in wanted]):
                outcomes.append(done.result())
                report(outcomes[-1])
        except BaseException:
            # Interrupted: the suites are in groups of their own, so nobody else tells them.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in tuple(_running):
                _kill(process)
            raise
    passed, failed, skipped = (sum(getattr(one, key) for one in outcomes) for key in ("passed", "failed", "skipped"))
    for outcome in outcomes:
        recall(outcome)
    print(f"Databases: {', '.join(dict.fromkeys(job.database for job in wanted))}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


def _options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--require", action="store_true", help="fail when one of the databases does not answer")
    parser.add_argument("--thorough", action="store_true", help="run what is otherwise left to CI, too")
    parser.add_argument("--only", nargs="+", default=[], metavar="SUITE[:PATH]", help="run these only, whole")
    parser.add_argument("--lanes", type=int, default=LANES, help="how many suites run side by side (here: %(default)s)")
    return parser.parse_known_args(argv)


def _django() -> str:
    import django

    return django.get_version()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
