"""What the newcomer's file may cost: lines for who reads it, statements for who waits for it."""

from inspect import signature
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.guide import test_newcomer
from tests.guide.test_newcomer import stay  # noqa: F401 (a fixture of the tests below)

TESTS = [function for name, function in vars(test_newcomer).items() if name.startswith("test_")]
MOST_STATEMENTS = 100
"""For one test without its fixture; the longest asks 78. On SQLite one takes 0.1 to 0.3 ms, the test under 50 ms."""

pytestmark = pytest.mark.django_db


def test_it_has_fewer_than_forty_lines():
    assert len(Path(test_newcomer.__file__).read_text().splitlines()) < 40


@pytest.mark.parametrize("function", TESTS, ids=lambda function: function.__name__)
def test_none_of_its_tests_asks_much_of_the_database(automation, stay, function):  # noqa: F811
    assert list(signature(function).parameters) == ["automation", "stay"]

    with CaptureQueriesContext(connection) as captured:
        function(automation, stay)

    assert len(captured) <= MOST_STATEMENTS
