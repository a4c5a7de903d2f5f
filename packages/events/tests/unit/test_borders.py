"""What this package must not import, and what it finds by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from automation.events import discovery

SOURCE = Path(__file__).parents[2] / "src" / "automation" / "events"


def test_neither_pydantic_nor_a_queue_nor_workflows_get_imported():
    code = (
        "import django, sys; django.setup();"
        "import automation.events.admin, automation.events.services;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('pydantic', 'django_q')"
        " or m.startswith('automation.workflows')]; assert not bad, bad"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": ".", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["lifecycle", "ports"])
def test_sub_packages_do_not_know_django(folder):
    for module in (SOURCE / folder).glob("*.py"):
        assert "django" not in module.read_text().lower().replace("imports django", ""), module


def test_namespace_has_no_package_file():
    assert not (SOURCE.parent / "__init__.py").exists()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An app `shop` whose automations are a package with a submodule and a sub-package."""
    for name, text in {
        "shop/__init__.py": "",
        "shop/automations/__init__.py": "",
        "shop/automations/mails.py": "LOADED = True",
        "shop/automations/deep/__init__.py": "",
        "shop/automations/deep/reminders.py": "LOADED = True",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    shop = type("Config", (), {"name": "shop"})
    monkeypatch.setattr(discovery.apps, "get_app_configs", lambda: [shop])
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


def test_packages_of_automations_are_found_with_their_submodules(project):
    discovery.discover()
    discovery.discover()
    assert {"shop.automations.mails", "shop.automations.deep.reminders"} <= sys.modules.keys()


def test_import_error_inside_automations_is_raised(project):
    (project / "shop/automations/broken.py").write_text("import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        discovery.discover()


def test_program_among_the_automations_is_not_run(project):
    (project / "shop/automations/__main__.py").write_text("raise RuntimeError('it runs')")
    discovery.discover()


def test_app_that_is_a_single_module_has_no_automations(monkeypatch):
    config = type("Config", (), {"name": "colorsys"})
    monkeypatch.setattr(discovery.apps, "get_app_configs", lambda: [config])
    discovery.discover()
