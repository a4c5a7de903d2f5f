"""The Harness under an event loop: its verbs and assertions to be awaited, each on the thread of Django's database."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from automation.testing.harness import Harness

__all__ = ["Awaited"]


class Awaited:
    """What a Harness has, to be awaited: `await automation.aio.advance(days=1)`; its blocks by `async with`.

    Each call is made where Django's own async methods make theirs: on the thread that has the test's connection.
    """

    def __init__(self, harness: "Harness") -> None:
        self._harness = harness

    def __getattr__(self, name: str) -> Any:
        wanted = getattr(self._harness, name)
        if not inspect.ismethod(wanted):
            return wanted  # the clock, the executor
        if inspect.isgeneratorfunction(inspect.unwrap(wanted)):
            return lambda *args, **kwargs: _entered_elsewhere(wanted(*args, **kwargs))
        return _on_the_thread_of_the_database(wanted)


def _on_the_thread_of_the_database(call: Callable[..., Any]) -> Callable[..., Any]:
    # asgiref comes with Django and with workflows; without either there is nothing that could be awaited.
    awaited: Callable[..., Any] = import_module("asgiref.sync").sync_to_async(call, thread_sensitive=True)
    return awaited


def _entered_elsewhere(block: AbstractContextManager[Any]) -> AbstractAsyncContextManager[Any]:
    @asynccontextmanager
    async def entered() -> "AsyncIterator[Any]":
        given = await _on_the_thread_of_the_database(block.__enter__)()
        try:
            yield given
        except BaseException as error:
            if not await _on_the_thread_of_the_database(block.__exit__)(type(error), error, error.__traceback__):
                raise
        else:
            await _on_the_thread_of_the_database(block.__exit__)(None, None, None)

    return entered()
