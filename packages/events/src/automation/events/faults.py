"""Named points at which a test can break event work. In production each costs one look-up in an empty dict."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["POINTS", "fault", "injected", "install", "is_death", "uninstall"]

POINTS = (
    "event.before_commit",
    "event.after_commit",
    "callback.after_claim",
    "callback.before_body",
    "callback.after_body",
    "callback.before_commit",
    "callback.after_commit",
    "callback.before_failure",
    "callback.after_failure",
)
"""Every point there is, in the order in which an occurrence and the calls that it owes meet them."""

Action = Callable[[str], None]
"""Is given what is being worked on: the name of the callback, or the names of the events."""

_actions: dict[str, Action] = {}


def fault(name: str, subject: str) -> None:
    """Do whatever a test has installed at this point: nothing, in production."""
    if _actions and (action := _actions.get(name)) is not None:
        action(subject)


def install(name: str, action: Action) -> None:
    """Have `action` called whenever event work passes the point."""
    if name not in POINTS:
        raise ValueError(f"{name!r} is not a fault point. Points: {', '.join(POINTS)}.")
    _actions[name] = action


def uninstall(name: str) -> None:
    """Take the action at a point away again."""
    _actions.pop(name, None)


@contextmanager
def injected(name: str, action: Action) -> Iterator[None]:
    """Install `action` inside the block."""
    install(name, action)
    try:
        yield
    finally:
        uninstall(name)


def is_death(error: BaseException) -> bool:
    """Tell what a test uses to end a worker from what a callback may raise: a dead process records nothing."""
    return bool(getattr(error, "is_simulated_crash", False))
