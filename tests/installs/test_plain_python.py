"""The example without Django runs where Django is not installed."""

from collections.abc import Callable

from tests.installs.conftest import ROOT, Installed

EXAMPLE = ROOT / "examples" / "plain_python" / "order.py"


def test_the_plain_example_runs_where_django_is_not_installed(install: Callable[[str], Installed]):
    alone = install("automation-workflows")
    assert alone.python("from importlib.util import find_spec; print(find_spec('django'))") == "None"

    done = alone.run("-W", "error", str(EXAMPLE))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "Order 1: completed after 2 tries to ship.",
        "Order 2: failed after 0 tries to ship. The payment never came.",
    ]
