"""The guide's code blocks, taken from the page itself, so that what is tested is what is written there."""

import re
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["NAMES", "blocks", "execute"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

NAMES = ("models", "single_step", "workflows", "advanced", "signals", "manual")
"""What the tests call the blocks, in the order of the page."""


@cache
def blocks() -> dict[str, str]:
    """Return each block, padded so that a traceback shows the line of the page."""
    text = PAGE.read_text()
    found = ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in BLOCK.finditer(text)]
    return dict(zip(NAMES, found, strict=True))


def execute(name: str, namespace: dict[str, Any]) -> None:
    """Run a block as the code of the module whose globals are given."""
    exec(compile(blocks()[name], str(PAGE), "exec"), namespace)
