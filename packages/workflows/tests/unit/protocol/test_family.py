"""A join hears every child, whatever happens meanwhile; without any one of its rules it does not."""

import pytest

from tests.unit.protocol.family import Join, explore


@pytest.mark.parametrize(("children", "cancels"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)])
def test_a_join_keeps_its_promises(children: int, cancels: int) -> None:
    states, broken = explore(Join(), children=children, cancels=cancels)

    assert states > 20
    assert broken == set()


@pytest.mark.parametrize(
    ("rule", "cancels", "promise"),
    [
        ("told_with_the_end", 0, "stuck"),
        ("fence", 0, "stuck"),
        ("resume_hears_all", 0, "stuck"),
        ("cascade", 1, "a child outlives its parent"),
        ("child_fence", 1, "write after cancel"),
    ],
)
def test_without_a_rule_a_promise_breaks(rule: str, cancels: int, promise: str) -> None:
    assert promise in explore(Join(**{rule: False}), cancels=cancels)[1]
