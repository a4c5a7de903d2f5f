"""Run the suite on each Python and Django of hatch's matrix that this machine has, and say which it does not have.

Started by the Python that holds hatch: `.venv/bin/python tools/matrix.py [--environments NAME ...] [suite options]`.
Where pyenv keeps the Pythons, they are found there. The last line counts the tests of all environments together.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HATCH = (sys.executable, "-m", "hatch")
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


def surroundings() -> dict[str, str]:
    """Return the process environment in which every Python of the machine is on the path."""
    found = dict(os.environ)
    found.setdefault("HATCH_DATA_DIR", str(ROOT / ".hatch"))
    if "PYENV_VERSION" not in found and shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
        versions = [line for line in listed.stdout.split() if re.fullmatch(r"3\.\d+\.\d+", line)]
        # The shim of python3.13 works only while a 3.13 is among the versions that are switched on.
        found["PYENV_VERSION"] = ":".join(sorted(versions, key=_as_numbers, reverse=True))
    return found


def _as_numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def environments(env: Mapping[str, str]) -> dict[str, str]:
    """Return hatch's test environments by name, each with its Python, like {'test.py3.13-6.1': '3.13'}."""
    shown = subprocess.run([*HATCH, "env", "show", "--json"], cwd=ROOT, env=env, capture_output=True, check=True)
    return {name: env["python"] for name, env in json.loads(shown.stdout).items() if name.startswith("test.")}


def has_python(version: str, env: Mapping[str, str]) -> bool:
    """Return whether `python<version>` starts here."""
    executable = shutil.which(f"python{version}", path=env.get("PATH"))
    if executable is None:
        return False
    # A shim of pyenv is there also when its Python is not: only starting it tells.
    return subprocess.run([executable, "-c", ""], env=env, capture_output=True, check=False).returncode == 0


def run(name: str, options: Sequence[str], env: Mapping[str, str]) -> tuple[int, int, int]:
    """Run the suite in the environment, showing what it says; return its (passed, failed, skipped)."""
    print(f"== {name}", flush=True)
    counts = (0, 1, 0)
    with subprocess.Popen(
        [*HATCH, "run", f"{name}:suite", *options],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if found := COUNTS.match(line):
                counts = (int(found[1]), int(found[2]), int(found[3]))
    passed, failed, skipped = counts
    return passed, max(failed, 1) if process.returncode else failed, skipped


def main(argv: Sequence[str]) -> int:
    """Run what the machine has of what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", nargs="+", metavar="ENVIRONMENT", help="these environments only")
    options, suite_options = parser.parse_known_args(argv)
    env = surroundings()
    known = environments(env)
    if strangers := [name for name in options.environments or () if name not in known]:
        print(f"No such environment: {', '.join(strangers)}. There are: {', '.join(known)}.")
        return 1
    wanted = [name for name in known if not options.environments or name in options.environments]
    here = [name for name in wanted if has_python(known[name], env)]
    for name in wanted:
        if name not in here:
            print(f"{name} does not run: this machine has no working python{known[name]}.")
    print(f"Environments: {', '.join(here) or 'none'}", flush=True)
    if not here:
        return 0
    results = [run(name, suite_options, env) for name in here]
    passed, failed, skipped = (sum(result[index] for result in results) for index in range(3))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
