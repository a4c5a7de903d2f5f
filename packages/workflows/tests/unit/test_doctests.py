"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

from automation.workflows import authoring, runs

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (authoring, runs)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 3
