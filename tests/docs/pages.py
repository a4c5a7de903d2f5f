"""A page of the docs as a Django project: its Python blocks become files, and what names no file becomes a script.

A block that opens with a comment like `# bookings/models.py` is that file; a remark may follow. The others are run, in
their order, after `migrate`. What a page leaves out (settings, manage.py) is taken from docs/how_to_run.md, so that is
tested too; settings "below what a new project has there" are added to those that `startproject` writes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from django.core.management import call_command

__all__ = ["ROOT", "Page", "Project"]

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"\A# ([\w/]+\.py)(?:,? [^\n]*)?\n")
BELOW = re.compile(r"\A# settings\.py, below what a new project has there\n")
INSTALLED = re.compile(r"^INSTALLED_APPS = \[\n", re.MULTILINE)


class Page:
    """One Markdown file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.blocks = BLOCK.findall((ROOT / path).read_text())

    @property
    def files(self) -> dict[str, str]:
        """The blocks that say which file they are, by that name."""
        return {found[1]: block for block in self.blocks if (found := NAMED.match(block))}

    @property
    def script(self) -> str:
        """The other blocks, one after the other."""
        return "\n".join(block for block in self.blocks if not NAMED.match(block))


class Project:
    """A folder with a Django project made of a page."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.folder = folder
        files = {"settings.py": Page("docs/how_to_run.md").files["settings.py"], **page.files}
        if BELOW.match(files["settings.py"]):
            call_command("startproject", "new_project", folder)
            files["settings.py"] = f"from new_project.settings import *\n\n{files['settings.py']}"
        apps = sorted({name.split("/")[0] for name in files if "/" in name})
        named = "".join(f'    "{app}",\n' for app in apps)
        files["settings.py"] = INSTALLED.sub(lambda found: found[0] + named, files["settings.py"])
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for app in apps:
            (folder / app / "__init__.py").touch()

    def manage(self, *arguments: str, settings: str = "settings") -> str:
        """Run a management command in a process of its own; it must succeed without a warning."""
        return self._run("-m", "django", *arguments, settings=settings)

    def run(self, code: str, *, settings: str = "settings") -> str:
        """Run code as a script of the project would: after `django.setup()`."""
        return self._run("-c", f"import django; django.setup()\n{code}", settings=settings)

    @property
    def path(self) -> str:
        """Where Python looks for modules: here first."""
        return os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))

    def _run(self, *arguments: str, settings: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.folder,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": self.path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
        return done.stdout
