"""The smallest terminal shows everything that happens; what happens is told once, in its order."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from unittest import TestCase

from rich.console import Console

from demo.view import view_for
from demo.watch import News, Picture, RunLine

BEGAN = datetime(2030, 1, 1, 12, tzinfo=UTC)
GUESTS = ("Ada", "Ben", "Chloe", "Dan")
WORKFLOWS = ("checkout_ops", "pre_arrival_reminder")


def run_line(guest: str = "Ada", workflow: str = "checkout_ops", **values: object) -> RunLine:
    line = {"status": "waiting", "step": "", "until": BEGAN + timedelta(hours=48), "why": "not begun", **values}
    return RunLine(guest=guest, workflow=workflow, **line)


def shown(*pictures: Picture, is_terminal: bool) -> list[str]:
    """The lines that the pictures have left on a terminal of 80 by 24, without colours."""
    console = Console(file=StringIO(), force_terminal=is_terminal, width=80, height=24, record=True)
    with view_for(console, BEGAN) as view:
        for picture in pictures:
            view.show(picture, BEGAN)
    return [line.rstrip() for line in console.export_text().splitlines()]


def table(lines: list[str]) -> list[str]:
    """The last that was drawn: a slow machine may have drawn it more than once."""
    first = max(number for number, line in enumerate(lines) if line.startswith("runs after"))
    return lines[first:]


def happening(*texts: str) -> Picture:
    runs = tuple(run_line(guest, workflow) for guest in GUESTS for workflow in WORKFLOWS)
    return Picture(runs=runs, news=tuple(News(at=BEGAN, who="Ada", text=text) for text in texts))


class ViewTest(TestCase):
    def test_everything_that_happened_can_be_read_and_scrolled_back_to(self):
        texts = [f"thing {number} happens" for number in range(60)]

        for is_terminal in (True, False):
            with self.subTest(is_terminal=is_terminal):
                lines = shown(happening(*texts[:30]), happening(*texts[30:]), is_terminal=is_terminal)

                assert [line for line in lines if "happens" in line] == [f"  0.00 s  Ada    {text}" for text in texts]

    def test_the_table_leaves_half_of_a_small_terminal_to_what_happens(self):
        drawn = table(shown(happening(), is_terminal=True))

        assert len(drawn) <= 12
        assert max(map(len, drawn)) <= 80
        for guest in GUESTS:
            for workflow in WORKFLOWS:
                assert re.search(rf"{guest} +{workflow} +waiting +48 h +not begun", "\n".join(drawn))

    def test_a_long_reason_is_shortened_and_nothing_else(self):
        why = "waits for signal 'event:guest_docs_uploaded' about bookings.reservation 1"
        one = run_line(step="await_docs", why=why, until=BEGAN + timedelta(seconds=2))

        *_, first, second = table(
            shown(Picture(runs=(one, run_line("Chloe", "pre_arrival_reminder")), news=()), is_terminal=True)
        )

        assert re.search(r"^Ada +checkout_ops +waiting +2\.0 s +await_docs waits for .*…$", first)
        assert re.search(r"^Chloe +pre_arrival_reminder +waiting +48 h +not begun$", second)
