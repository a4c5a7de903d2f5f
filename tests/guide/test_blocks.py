"""Every code block of the guide is executed, verbatim, by the modules and tests of this folder."""

import re
from pathlib import Path

from tests.guide.page import NAMES, PAGE, blocks

HERE = Path(__file__).parent


def test_each_block_has_a_name_here():
    assert len(re.findall(r"^```python$", PAGE.read_text(), re.MULTILINE)) == len(NAMES)


def test_each_block_is_executed_somewhere_here():
    executed = {
        name
        for file in HERE.rglob("*.py")
        for name in re.findall(r'^ *execute\("(\w+)"', file.read_text(), re.MULTILINE)
    }

    assert executed == set(NAMES)


def test_a_mistake_in_a_block_is_shown_at_its_line_of_the_page():
    first_line = next(line for line in blocks()["manual"].splitlines() if line)
    number = blocks()["manual"].splitlines().index(first_line) + 1

    assert PAGE.read_text().splitlines()[number - 1] == first_line


def test_no_block_has_a_fence_that_the_tests_overlook():
    fences = re.findall(r"^\s*(```|~~~)(\w*)", PAGE.read_text(), re.MULTILINE)

    assert [language for _, language in fences if language] == ["python"] * len(NAMES)
