"""The pytest plugin: a fixture called `automation`. It is loaded before settings are, so it imports no Django."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from automation.testing.clock import FakeClock
    from automation.testing.harness import Harness

__all__ = ["automation", "automation_clock"]

_MARKER = "automation"


def pytest_configure(config: pytest.Config) -> None:
    """Let `--strict-markers` know our marker."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(at=..., zone=..., inline=..., faults=...): how the `automation` fixture is set up."
    )


@pytest.fixture
def automation_clock(request: pytest.FixtureRequest) -> "Iterator[FakeClock]":
    """A FakeClock that the whole test believes. With `automation`, it is the same clock."""
    # Here and not above: a plugin's imports would count as the imports of every test run that has it installed.
    from automation.testing.clock import FakeClock

    options = _options(request)
    with FakeClock(options.get("at"), zone=options.get("zone")) as clock:
        yield clock


@pytest.fixture
def automation(request: pytest.FixtureRequest, automation_clock: "FakeClock") -> "Iterator[Harness]":
    """A Harness: the clock stands still, nothing runs by itself, and everything is as before after the test.

    Ask for `db` as well (or mark the test with `django_db`) where models are saved. Arguments for the Harness are
    given by a marker: `@pytest.mark.automation(at="2030-03-31 01:30", inline=True)`.
    """
    from automation.testing.harness import Harness

    options = {name: value for name, value in _options(request).items() if name not in {"at", "zone"}}
    with Harness(clock=automation_clock, **options) as harness:
        yield harness


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker(_MARKER)
    if marker and marker.args:
        raise pytest.UsageError(
            f"@pytest.mark.{_MARKER}{marker.args!r} takes arguments by name: at=..., zone=..., inline=..., faults=..."
        )
    return dict(marker.kwargs) if marker else {}
