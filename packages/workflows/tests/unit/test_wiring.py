"""Plugging other adapters in for a while."""

from typing import Any

import pytest

from automation.workflows.ports import Wiring


@pytest.mark.parametrize("name", ["executor", "occurrences"])
def test_override_takes_none_for_nothing_and_puts_the_old_one_back(name: str) -> None:
    wiring, old, other = Wiring(), object(), object()
    setattr(wiring, name, old)
    for given in (None, other):
        plugged: dict[str, Any] = {name: given}

        with wiring.override(**plugged):
            assert getattr(wiring, name) is given
            with wiring.override(clock=wiring.clock):
                assert getattr(wiring, name) is given, "what is not given stays as it is"

        assert getattr(wiring, name) is old
