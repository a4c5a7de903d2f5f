"""Two ways to show the same: a live picture where there is a terminal, plain lines where there is none."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
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
LEAST_NEWS = 5
TABLE_LINES = 22
"""About the height of the table when all runs are in it; what is left of the terminal is for the news."""


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
            self._console.print(_told(news, self._began_at), soft_wrap=True)


class _Live:
    def __init__(self, console: Console, began_at: datetime) -> None:
        self._began_at = began_at
        self._news: deque[News] = deque(maxlen=max(LEAST_NEWS, console.height - TABLE_LINES))
        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> "_Live":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, picture: Picture, now: datetime) -> None:
        self._news.extend(picture.news)
        said = Text("\n").join(_told(news, self._began_at) for news in self._news)
        clock = f"{(now - self._began_at).total_seconds():5.1f} s"
        self._live.update(Group(_runs(picture.runs, now, clock), Panel(said, title="what happens", title_align="left")))


def _runs(runs: Sequence[RunLine], now: datetime, clock: str) -> Table:
    table = Table(title=f"runs after {clock}", title_justify="left", expand=True)
    for name in ("guest", "workflow", "status", "steps so far", "why, until when"):
        table.add_column(name, overflow="fold")
    for run in runs:
        table.add_row(
            run.guest,
            run.workflow,
            Text(run.status, style=COLOURS.get(run.status, "")),
            ", ".join(run.steps),
            " ".join(part for part in (_until(run.until, now), run.why) if part),
        )
    return table


def _until(until: datetime | None, now: datetime) -> str:
    if until is None:
        return ""
    left = (until - now).total_seconds()
    return f"in {left / 3600:.0f} h" if left > 3600 else f"in {max(left, 0):.1f} s"


def _told(news: News, began_at: datetime) -> Text:
    moment = f"{(news.at - began_at).total_seconds():6.2f} s  {news.who:<6} "
    return Text.assemble((moment, "dim"), (news.text, "red" if news.is_trouble else ""))


def summary(verdicts: Sequence[Verdict]) -> Table:
    """Return every promise with what was seen of it."""
    table = Table(title="promised, and seen", title_justify="left", expand=True)
    for name in ("", "promise", "seen"):
        table.add_column(name, overflow="fold")
    for verdict in verdicts:
        mark = Text("kept", style="green") if verdict.is_kept else Text("BROKEN", style="bold red")
        table.add_row(mark, verdict.promise, verdict.seen)
    return table
