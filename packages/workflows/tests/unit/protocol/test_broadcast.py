"""Every run hears a broadcast once; without any one of the rules some run does not."""

import pytest

from tests.unit.protocol.broadcast import Cast, explore


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_each_run_hears_a_broadcast_once(runs: int) -> None:
    states, broken = explore(Cast(), runs)

    assert states > 20
    assert broken == set()


@pytest.mark.parametrize(
    ("rule", "promise"),
    [
        ("look", "stuck"),
        ("wait_lock", "stuck"),
        ("receipts", "heard twice"),
        ("fence", "heard twice"),
        ("finished_last", "stuck"),
    ],
)
def test_without_a_rule_of_it_a_promise_breaks(rule: str, promise: str) -> None:
    assert promise in explore(Cast(**{rule: False}))[1]
