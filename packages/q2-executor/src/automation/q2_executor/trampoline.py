"""What stands for the queue under `Q_CLUSTER["sync"]`: tasks run here, after the commit, one after the other."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import local

from django.utils.module_loading import import_string

from automation.q2_executor.message import Message

__all__ = ["trampoline"]


class Trampoline(local):
    """A queue of this thread's own. A task that enqueues another one is not nested in it: the other waits its turn."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._running = False

    def add(self, after_commit: Callable[[Callable[[], None]], None], messages: Sequence[Message]) -> None:
        """Run the messages once the caller's transaction has committed; those for later are left to the sweeps."""
        now = datetime.now(UTC)
        ready = [message for message in messages if message.at is None or message.at <= now]
        if ready:
            after_commit(lambda: self._take(ready))

    def _take(self, messages: Sequence[Message]) -> None:
        self._waiting.extend(messages)
        if not self._running:
            self._drain()

    def _drain(self) -> None:
        self._running = True
        try:
            while self._waiting:
                message = self._waiting.popleft()
                import_string(message.task)(*message.args)
        finally:
            # After an error the rest is left to the sweeps, as with any queue that loses messages.
            self._waiting.clear()
            self._running = False


trampoline = Trampoline()
