"""The page that names the tests names no other."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (TESTS / "README.md").read_text())


def test_every_test_that_the_page_names_is_there():
    gone = [f"{file}::{name}" for file, name in NAMED if f"\ndef {name}(" not in (TESTS / file).read_text()]
    assert NAMED
    assert gone == []
