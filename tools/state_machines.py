"""Write docs/state_machines.md from the transition tables in the code; `--check` only tells whether it is current."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "state_machines.md"
RUNS_BEGIN = ("ready", "waiting")
"""A run is there to be worked on, or was reserved for an event that lies ahead."""
EVENTS_BEGIN = ("pending",)
INTRODUCTION = """\
# State machines

Generated from the transition tables by `make diagrams`; a test compares. What is not listed cannot happen: the code
asks the table, and refuses.
"""


def page() -> str:
    """Return the whole page."""
    from automation.events.lifecycle.transitions import TRANSITIONS as EVENTS
    from automation.workflows.runs.transitions import TRANSITIONS as RUNS

    return "\n".join(
        [
            INTRODUCTION,
            *_section("Runs", "automation.workflows.runs.transitions", _moves(RUNS), RUNS_BEGIN),
            *_section("Events", "automation.events.lifecycle.transitions", _moves(EVENTS), EVENTS_BEGIN),
        ]
    )


Moves = Mapping[str, Mapping[str, Sequence[str]]]
"""By status, by cause: the statuses that may follow."""


def _moves(table: Mapping[Any, Mapping[Any, object]]) -> Moves:
    """Return a table in plain names, whatever it is made of: a cause has one target or a set of them."""
    return {
        _name(status): {_name(cause): _targets(target) for cause, target in causes.items()}
        for status, causes in table.items()
    }


def _targets(target: object) -> list[str]:
    if isinstance(target, str) or not isinstance(target, Iterable):
        return [_name(target)]
    names = [_name(one) for one in target]
    # A set has no order of its own, and a generated page must not differ from run to run.
    return sorted(names) if isinstance(target, Set) else names


def _name(thing: object) -> str:
    if isinstance(thing, type):
        return thing.__name__
    return str(getattr(thing, "value", thing))


def _section(title: str, module: str, moves: Moves, begin: Sequence[str]) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"The table is `{module}.TRANSITIONS`.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield from (f"    [*] --> {status}" for status in begin)
    yield from _edges(moves)
    yield "```\n"
    yield "| from | cause | to |"
    yield "|---|---|---|"
    yield from _rows(moves)
    yield ""


def _edges(moves: Moves) -> Iterator[str]:
    for status, causes in moves.items():
        together: dict[str, list[str]] = defaultdict(list)
        for cause, targets in causes.items():
            for target in targets:
                together[target].append(cause)
        for target, names in together.items():
            yield f"    {status} --> {target}: {', '.join(names)}"
        if not causes:
            yield f"    {status} --> [*]"


def _rows(moves: Moves) -> Iterator[str]:
    for status, causes in moves.items():
        for cause, targets in causes.items():
            yield f"| {status} | {cause} | {' or '.join(targets)} |"
        if not causes:
            yield f"| {status} | | final |"


def main(argv: Sequence[str]) -> int:
    """Write the page, or compare it."""
    is_current = PAGE.exists() and PAGE.read_text() == page()
    if "--check" not in argv:
        PAGE.write_text(page())
        return 0
    if not is_current:
        print(f"{PAGE.name} does not say what the tables say. Run `make diagrams`, and look at the difference.")
    return 0 if is_current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
