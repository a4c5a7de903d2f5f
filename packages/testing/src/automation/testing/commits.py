"""What waits for a commit that never comes: in Django's TestCase, and in pytest's `db`, nothing is ever committed."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from automation.testing.faults import WorkerDied

__all__ = ["after_commit", "is_inside_a_block", "run_commit_hooks", "waiting_hooks"]

_HAS_RUN = "_automation_has_run_earlier_hooks"
"""The mark of a test's block in which the hooks that were registered before it have run."""

_logger = logging.getLogger("automation.testing")


def run_commit_hooks(on_death: Callable[[], None] | None = None) -> int:
    """Run, in order, what `transaction.on_commit` has put off until the end of the test; return how many ran.

    Nothing is done where commits are real. What a hook puts off in its turn runs as well. What was put off before the
    test began (in `setUpTestData`) runs once in each test. A robust hook that raises
    is logged, and the others run, as after a real commit. A hook in which a WorkerDied is raised ends there;
    `on_death` is called, and the others run. Raises RuntimeError inside `transaction.atomic()` of the test itself:
    there, nothing has been committed yet.
    """
    connections = _connections()
    ran = 0
    while hooks := [hook for connection in connections for hook in _take(connection)]:
        for hook in hooks:
            _run_or_die(*hook, on_death=on_death)
        ran += len(hooks)
    return ran


def waiting_hooks() -> int:
    """Return how many hooks wait for a commit that will not come by itself."""
    waiting = [_waiting(connection) for connection in _connections() if connection.in_atomic_block]
    return sum(len(before) + len(own) for before, own in waiting)


def is_inside_a_block() -> bool:
    """Return whether the test itself is inside `transaction.atomic()`, so that nothing of what it does is committed."""
    return any(_is_inside_a_block(connection) for connection in _connections())


def after_commit(action: Callable[[], None], *, alias: str) -> None:
    """Call `action` once the transaction on this database has been committed; at once where there is none."""
    connection = sys.modules["django.db"].connections[alias]
    if connection.in_atomic_block:
        connection.on_commit(action, robust=True)
    else:
        action()


def _connections() -> list[Any]:
    django_db = sys.modules.get("django.db")
    conf = sys.modules.get("django.conf")
    if django_db is None or conf is None or not conf.settings.configured:
        return []
    return list(django_db.connections.all(initialized_only=True))


def _take(connection: Any) -> list[tuple[Any, bool]]:
    if _is_inside_a_block(connection):
        raise RuntimeError(
            "The test is inside transaction.atomic(), so nothing is committed yet and nothing can run. "
            "Leave the block first, and then let the automation run."
        )
    if not connection.in_atomic_block:
        return []
    before, own = _waiting(connection)
    if before:
        vars(connection.atomic_blocks[-1])[_HAS_RUN] = True
    # What the class's own fixtures wait for (setUpTestData) stays for the next test: each begins where they ended.
    connection.run_on_commit = [entry for entry in connection.run_on_commit if not _is_own(connection, entry)]
    return [(hook, robust) for _, hook, robust in (*before, *own)]


def _waiting(connection: Any) -> tuple[list[Any], list[Any]]:
    """Return the hooks that were there before this test's own block and have not run in it, and those of the test."""
    has_run = any(vars(block).get(_HAS_RUN) for block in connection.atomic_blocks)
    before = [entry for entry in connection.run_on_commit if not has_run and not _is_own(connection, entry)]
    return before, [entry for entry in connection.run_on_commit if _is_own(connection, entry)]


def _is_own(connection: Any, entry: Any) -> bool:
    """Return whether a hook was registered inside the innermost block, and so goes with it."""
    savepoints, *_ = entry
    return not connection.savepoint_ids or connection.savepoint_ids[-1] in savepoints


def _is_inside_a_block(connection: Any) -> bool:
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _run_or_die(hook: Any, robust: bool, *, on_death: Callable[[], None] | None) -> None:  # noqa: FBT001 (Django's pair)
    try:
        _run(hook, robust)
    except WorkerDied:
        if on_death is None:
            raise
        on_death()


def _run(hook: Any, robust: bool) -> None:  # noqa: FBT001 (Django's own pair)
    if not robust:
        hook()
        return
    # A robust hook is user code that said its failure must not reach the one who commits.
    try:
        hook()
    except Exception:
        _logger.exception("A robust on_commit hook failed: %r", hook)
