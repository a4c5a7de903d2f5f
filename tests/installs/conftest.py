"""Wheels built from this checkout, and empty environments to install them into. Nothing is kept between runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("bridge", "events", "q2-executor", "testing", "workflows")


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that holds what was asked for and what that declares, and nothing else."""

    home: Path
    spec: str

    def run(
        self, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run the environment's Python, seeing nothing of this checkout unless `cwd` says so."""
        return subprocess.run(
            [self.home / "bin" / "python", *arguments],
            cwd=cwd or self.home,
            env={**_neutral(), "AUTOMATION_TEST_DATABASE": "sqlite", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def python(self, code: str) -> str:
        """Run the code and return what it printed; the test fails when it raises."""
        done = self.run("-W", "error", "-c", code)
        assert done.returncode == 0, f"In an environment with only {self.spec}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()


def _neutral() -> dict[str, str]:
    """Return an environment in which no setting of the running suite reaches the installed package."""
    ours = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV", "PYTEST_ADDOPTS", "AUTOMATION_LONG")
    return {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("PYTEST_")}


def _checked(command: Sequence[str | Path], **options: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one fresh wheel of each package."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in FOLDERS:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        _checked(build, cwd=ROOT / "packages" / name)
    return folder


@pytest.fixture(scope="session")
def install(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installed]:
    """Return a function that makes an empty environment and installs the requirement into it, once for each."""
    held = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    # Of the Djangos that a package allows, the one that this run is about.
    held.write_text(f"django=={version('django')}\n")

    @cache
    def into_an_empty_environment(spec: str) -> Installed:
        home = tmp_path_factory.mktemp("environment")
        _checked([find_uv_bin(), "venv", "--quiet", "--allow-existing", "--python", sys.executable, home])
        to_here = ["--quiet", "--python", home / "bin" / "python", "--find-links", wheels, "--constraint", held]
        _checked([find_uv_bin(), "pip", "install", *to_here, spec])
        return Installed(home, spec)

    return into_an_empty_environment
