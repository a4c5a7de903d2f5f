"""The verbs for code under an event loop: the same ones, on the thread that Django's async ORM uses."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from automation.workflows.engine.scope import running_scope
from automation.workflows.errors import AsyncCallNeeded

__all__ = ["in_thread", "is_under_loop", "refuse_under_loop"]

_T = TypeVar("_T")


def is_under_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def refuse_under_loop(verb: str) -> None:
    """Raise AsyncCallNeeded where a synchronous verb would block an event loop. Steps only buffer: they may call it."""
    if running_scope() is not None or not is_under_loop():
        return
    raise AsyncCallNeeded(
        f"engine.{verb}() was called under a running event loop, which it would block. "
        f"Write await engine.a{verb}(...) instead."
    )


async def in_thread(verb: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
    """Run a verb on the thread that holds the connections, also inside a step: `create_context` may query there."""
    return await sync_to_async(verb, thread_sensitive=True)(*args, **kwargs)
