"""The house is laid out so that five distributions share one namespace and each can be installed alone."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path for path in (ROOT / "packages").iterdir() if (path / "pyproject.toml").exists())
MODULES = {
    "automation-bridge": "bridge",
    "automation-events": "events",
    "automation-q2-executor": "q2_executor",
    "automation-testing": "testing",
    "automation-workflows": "workflows",
}


def project(package: Path) -> dict[str, object]:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def test_there_are_five_packages():
    assert {project(package)["name"] for package in PACKAGES} == set(MODULES)


def test_nothing_makes_the_namespace_a_regular_package():
    """One such file hides every other portion of `automation` from Python."""
    places = [*ROOT.glob("packages/*/src/automation/__init__.py"), *ROOT.glob("packages/*/src/__init__.py")]

    assert places == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
class TestEachPackage:
    def test_owns_one_portion_of_the_namespace(self, package: Path):
        portions = [path.name for path in (package / "src" / "automation").iterdir() if path.name != "__pycache__"]

        assert portions == [MODULES[project(package)["name"]]]

    def test_has_types_a_readme_and_tests(self, package: Path):
        portion = package / "src" / "automation" / MODULES[project(package)["name"]]

        assert (portion / "py.typed").is_file()
        assert (package / "README.md").is_file()
        assert list((package / "tests").rglob("test_*.py")) != []

    def test_runs_on_the_pythons_and_djangos_of_the_matrix(self, package: Path):
        classifiers = set(project(package)["classifiers"])

        assert project(package)["requires-python"] == ">=3.11"
        assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= classifiers
        assert {f"Framework :: Django :: {django}" for django in ("5.2", "6.0", "6.1")} <= classifiers

    def test_packs_into_its_wheel_nothing_but_its_portion(self, package: Path):
        build = tomllib.loads((package / "pyproject.toml").read_text())["tool"]["hatch"]["build"]

        assert build["targets"]["wheel"] == {
            "only-include": [f"src/automation/{MODULES[project(package)['name']]}"],
            "sources": ["src"],
        }


def test_every_environment_installs_the_members_by_their_real_folders():
    environments = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["envs"]
    members = {member["path"] for member in environments["default"]["workspace"]["members"]}

    assert members == {f"packages/{package.name}" for package in PACKAGES}


def version(package: Path) -> str:
    about = package / "src" / "automation" / MODULES[project(package)["name"]] / "__about__.py"
    (found,) = re.findall(r'^__version__ = "(.+)"$', about.read_text(), re.MULTILINE)
    return found


def test_the_five_are_released_together():
    assert len({version(package) for package in PACKAGES}) == 1


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
class TestEachDistribution:
    def test_asks_for_siblings_of_its_own_release(self, package: Path):
        """Ports change between minor versions: a bridge of one release beside the workflows of another fits by luck."""
        asked = [*project(package)["dependencies"], *chain(*project(package)["optional-dependencies"].values())]
        siblings = [each for each in asked if each.startswith("automation-")]

        assert siblings == [f"{each.partition('~=')[0]}~={version(package)}" for each in siblings]

    def test_carries_the_licence_and_says_whose_it_is(self, package: Path):
        assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
        assert project(package)["license-files"] == ["LICENSE"]
        assert project(package)["authors"] != []
