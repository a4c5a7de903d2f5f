"""What happens, line by line, and where there is a terminal, a table below it of how every run stands."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.promises import Verdict
from demo.watch import News, Picture, RunLine

__all__ = ["View", "summary", "view_for"]

COLOURS = {
    "ready": "cyan",
    "running": "bold cyan",
    "waiting": "yellow",
    "completed": "green",
    "failed": "bold red",
    "cancelled": "dim",
    "paused": "magenta",
}
NAME_WIDTH = 5


class View(Protocol):
    """Shows pictures as they come."""

    def __enter__(self) -> "View": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, picture: Picture, now: datetime) -> None:
        """Show what there is now."""
        ...


def view_for(console: Console, began_at: datetime) -> View:
    """Return the live view on a terminal, and the plain one elsewhere."""
    return _Live(console, began_at) if console.is_terminal else _Plain(console, began_at)


class _Plain:
    def __init__(self, console: Console, began_at: datetime) -> None:
        self._console = console
        self._began_at = began_at

    def __enter__(self) -> "_Plain":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to take down."""

    def show(self, picture: Picture, now: datetime) -> None:
        for news in picture.news:
            self._console.print(_in_a_line(news, self._began_at), soft_wrap=True)


class _Live:
    """The news go by above the table, and stay to be scrolled back to; the table has one line for each run."""

    def __init__(self, console: Console, began_at: datetime) -> None:
        self._began_at = began_at
        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> "_Live":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, picture: Picture, now: datetime) -> None:
        for news in picture.news:
            self._live.console.print(_in_columns(news, self._began_at))
        clock = f"{(now - self._began_at).total_seconds():.1f} s"
        self._live.update(_runs(picture.runs, now, clock))


def _runs(runs: Sequence[RunLine], now: datetime, clock: str) -> Table:
    table = Table(
        title=f"runs after {clock}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        expand=True,
        show_edge=False,
    )
    for name in ("guest", "workflow", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("left", no_wrap=True, justify="right")
    table.add_column("step, and why it is not moving", no_wrap=True, overflow="ellipsis", ratio=1)
    for run in runs:
        table.add_row(
            run.guest,
            run.workflow,
            Text(run.status, style=COLOURS.get(run.status, "")),
            _left(run.until, now),
            " ".join(part for part in (run.step, run.why) if part),
        )
    return table


def _left(until: datetime | None, now: datetime) -> str:
    if until is None:
        return ""
    left = (until - now).total_seconds()
    return f"{left / 3600:.0f} h" if left > 3600 else f"{max(left, 0):.1f} s"


def _in_columns(news: News, began_at: datetime) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, min_width=NAME_WIDTH)
    grid.add_column(overflow="fold")
    grid.add_row(Text(_moment(news, began_at), "dim"), Text(news.who, "dim"), _text(news))
    return grid


def _in_a_line(news: News, began_at: datetime) -> Text:
    return Text(f"{_moment(news, began_at)}  {news.who:<{NAME_WIDTH}}  ", "dim").append_text(_text(news))


def _moment(news: News, began_at: datetime) -> str:
    return f"{(news.at - began_at).total_seconds():6.2f} s"


def _text(news: News) -> Text:
    return Text(news.text, "red" if news.is_trouble else "default")


def summary(verdicts: Sequence[Verdict]) -> Table:
    """Return every promise with what was seen of it."""
    table = Table(title="promised, and seen", title_justify="left", expand=True)
    for name in ("", "promise", "seen"):
        table.add_column(name, overflow="fold")
    for verdict in verdicts:
        mark = Text("kept", style="green") if verdict.is_kept else Text("BROKEN", style="bold red")
        table.add_row(mark, verdict.promise, verdict.seen)
    return table
