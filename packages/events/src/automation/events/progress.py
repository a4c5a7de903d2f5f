"""A progress bar for commands, on a terminal only."""

from __future__ import annotations

from types import TracebackType

from django.core.management.base import OutputWrapper

__all__ = ["Progress"]

WIDTH = 30


class Progress:
    """One line that is rewritten as work is done; it leaves nothing behind when there is nobody to see it."""

    def __init__(self, out: OutputWrapper, label: str, *, total: int, visible: bool) -> None:
        self._out, self._label, self._total, self._visible = out, label, total, visible
        self._done = 0

    def __enter__(self) -> Progress:
        return self

    def advance(self, count: int) -> None:
        """Show that `count` more are done."""
        self._done += count
        if self._visible:
            self._out.write(f"\r{self.line()}", ending="")
            self._out.flush()

    def line(self) -> str:
        """Return the bar as text."""
        share = min(1.0, self._done / self._total) if self._total else 1.0
        filled = int(share * WIDTH)
        return f"{self._label} [{'#' * filled}{'.' * (WIDTH - filled)}] {self._done}/{self._total}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._out.write("")
