"""Two threads and the order in which they meet, without sleeping."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

__all__ = ["PATIENCE_SECONDS", "Beside", "reached"]

PATIENCE_SECONDS = 60.0
"""After this long, what should have happened has not: the test fails instead of hanging."""


def reached(moment: Event) -> None:
    """Wait until another thread has got there."""
    assert moment.wait(PATIENCE_SECONDS), "The other thread never got there: it is blocked by something it must not be."


class Beside:
    """A call that runs in a thread of its own."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def is_done_within(self, seconds: float) -> bool:
        """Wait this long at most; return whether the call has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Wait for the end and return what the call gave; raises what it raised."""
        assert self.is_done_within(PATIENCE_SECONDS), "The other thread hangs."
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._action()
        except BaseException as error:  # noqa: BLE001 (it is raised again where the result is asked for)
            self._error = error
