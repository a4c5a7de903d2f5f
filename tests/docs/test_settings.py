"""Each of the three dicts of settings has a table on a page, with every key that it may have, and no other."""

import re
from dataclasses import fields

import pytest

from automation.events.conf import Configuration as EventsConfiguration
from automation.q2_executor.conf import Configuration as Q2Configuration
from automation.workflows.conf import DEFAULTS
from tests.docs.pages import ROOT

TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
ROW = re.compile(r"^\| ((?:`[A-Z0-9_]+`(?:, )?)+) \|", re.MULTILINE)


def keys_told(page: str) -> list[list[str]]:
    """The names in the first column of each table of the page."""
    tables = TABLE.findall((ROOT / page).read_text())
    return [sorted(re.findall("[A-Z0-9_]+", " ".join(ROW.findall(table)))) for table in tables]


def keys_of(configuration: type) -> set[str]:
    return {field.name.upper() for field in fields(configuration)}


@pytest.mark.parametrize(
    ("page", "keys"),
    [
        ("packages/events/README.md", keys_of(EventsConfiguration)),
        ("packages/workflows/README.md", set(DEFAULTS)),
        ("docs/running-on-django-q2.md", keys_of(Q2Configuration) | {"AUTOMATION_Q2"}),
    ],
)
def test_a_table_lists_every_key(page: str, keys: set[str]):
    assert sorted(keys) in keys_told(page)
