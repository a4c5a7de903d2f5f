"""Named points at which a test can break the engine. In production each costs one look-up in an empty dict."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["POINTS", "fault", "injected", "install", "uninstall"]

POINTS = (
    "start.before_commit",
    "claim.before_commit",
    "claim.after_commit",
    "step.before_body",
    "step.after_body",
    "finish.before_apply",
    "finish.before_commit",
    "finish.after_commit",
    "failure.before_commit",
    "failure.after_commit",
    "place.before_commit",
    "place.after_commit",
    "deliver.before_commit",
    "deliver.after_commit",
    "sweep.before_row",
    "sweep.after_row",
)
"""Every point there is, in the order in which a run meets them."""

_actions: dict[str, Callable[[], None]] = {}


def fault(name: str) -> None:
    """Do whatever a test has installed at this point: nothing, in production."""
    if _actions and (action := _actions.get(name)) is not None:
        action()


def install(name: str, action: Callable[[], None]) -> None:
    """Have `action` called whenever the engine passes the point."""
    if name not in POINTS:
        raise ValueError(f"{name!r} is not a fault point. Points: {', '.join(POINTS)}.")
    _actions[name] = action


def uninstall(name: str) -> None:
    """Take the action at a point away again."""
    _actions.pop(name, None)


@contextmanager
def injected(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Install `action` inside the block."""
    install(name, action)
    try:
        yield
    finally:
        uninstall(name)
