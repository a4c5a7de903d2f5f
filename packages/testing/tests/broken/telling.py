"""Runs a contract against an adapter in this process, and tells which of its claims do not hold."""

import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

__all__ = ["Broken", "breaks", "claims_of", "failed_claims"]

Broken = dict[str, tuple[type, frozenset[str]]]
"""By name: a subclass of the contract for an adapter that is broken in one way, and the claims that it must fail."""


def breaks(adapters: Broken, *claims: str) -> Callable[[type], type]:
    """Note an adapter, or the contract with one, as one that fails these claims and no others."""

    def note(contract: type) -> type:
        adapters[contract.__name__] = contract, frozenset(claims)
        return contract

    return note


def claims_of(contract: type) -> list[str]:
    """Return the names of a contract's tests, without `test_`."""
    return [name.removeprefix("test_") for name, _ in inspect.getmembers(contract) if name.startswith("test_")]


def failed_claims(contract: type, claims: list[str], fixtures: Callable[[Any], dict[str, Any]]) -> frozenset[str]:
    """Run these claims; `fixtures` makes, anew for each case, what its tests may ask for by name."""
    return frozenset(claim for claim in claims if not all(_holds(contract, claim, fixtures)))


def _holds(contract: type, claim: str, fixtures: Callable[[Any], dict[str, Any]]) -> Iterator[bool]:
    test = getattr(contract, f"test_{claim}")
    for values in _cases(test):
        subject = contract()
        given = fixtures(subject) | values
        try:
            test(subject, **{name: given[name] for name in list(inspect.signature(test).parameters)[1:]})
        except pytest.skip.Exception:
            yield True
        except (Exception, pytest.fail.Exception):  # whatever it does, the claim fails
            yield False
        else:
            yield True


def _cases(test: Any) -> list[dict[str, Any]]:
    """Return the values of each case, as pytest would make them of the marks."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    rows = ([{mark.args[0]: value} for value in mark.args[1]] for mark in marks)
    return [{name: value for each in row for name, value in each.items()} for row in product(*rows)]
