"""Two workers that meet: the first is held before its commit, the second starts and runs into its locks.

No sleeping: an actor is somewhere when it says so, or when the database says that it waits for a lock.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, get_ident
from typing import Any

from django.db import connection, connections

from automation.testing.contracts.side_by_side import PATIENCE_SECONDS, Beside, reached
from automation.workflows.engine.faults import POINTS, install, uninstall
from automation.workflows.ports import wiring

__all__ = ["Actor", "blocked_session", "fault_points", "is_waiting_for_a_lock"]

_actors: dict[int, "Actor"] = {}

_WAITING = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
    "mysql": "SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = %s AND trx_state = 'LOCK WAIT'",
}
_BLOCKED = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> %s AND trx_state = 'LOCK WAIT'"
_LOOK_SECONDS = {"postgresql": 0.005, "mysql": 0.12}
"""How often to ask. InnoDB makes a new picture only when nobody has looked at the old one for a tenth of a second."""
_SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}


def is_waiting_for_a_lock(session: int) -> bool:
    """Ask the database whether a session waits for somebody's lock."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING[connection.vendor], [session])
        return cursor.fetchone() is not None


def blocked_session() -> None:
    """Wait until somebody waits for a lock of InnoDB's."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    own = _session()
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_BLOCKED, [own])
            if cursor.fetchone() is not None:
                return
        assert time.monotonic() < deadline, "Nobody waits for a lock."
        time.sleep(_LOOK_SECONDS["mysql"])


@contextmanager
def fault_points() -> Iterator[None]:
    """Let the actors be held at the engine's fault points."""
    for point in POINTS:
        install(point, lambda point=point: _passed(point))
    try:
        yield
    finally:
        for point in POINTS:
            uninstall(point)
        _actors.clear()


def _passed(point: str) -> None:
    actor = _actors.get(get_ident())
    if actor is not None:
        actor.passes(point)


class Actor:
    """One operation in a thread of its own, held at up to two places: where it enters, and before its commit.

    `enter` and `hold` are fault points; without `hold` the operation runs inside a transaction that is held open.
    """

    def __init__(self, act: Callable[[], Any], *, enter: str | None = None, hold: str | None = None) -> None:
        self._act = act
        self._enter = enter
        self._hold = hold
        self._entered, self._may_enter = Event(), Event()
        self._held, self._may_commit = Event(), Event()
        self.session = 0
        self.was_blocked = False
        self._thread: Beside | None = None

    def prepare(self) -> None:
        """Go up to where it enters; without such a place, do not begin."""
        if self._enter is not None:
            self._start()
            self._wait_for(self._entered)

    def strike(self) -> None:
        """Go on until it is held before its commit, is blocked, or has ended."""
        self._may_enter.set()
        self._start()
        self._wait_for(self._held)

    def release(self) -> None:
        """Let it commit; whoever waits for its locks goes on."""
        self._may_enter.set()
        self._may_commit.set()

    def result(self) -> Any:
        """Wait for its end and return what the operation gave; raises what it raised."""
        self._start()
        assert self._thread is not None
        return self._thread.result()

    @property
    def is_held(self) -> bool:
        """It stands before its commit, with its locks."""
        return self._held.is_set() and not self._may_commit.is_set()

    def passes(self, point: str) -> None:
        """Called by the engine in the actor's thread."""
        if point == self._enter and not self._may_enter.is_set():
            self._entered.set()
            reached(self._may_enter)
        elif point == self._hold:
            self._stand()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Beside(self._run)

    def _run(self) -> Any:
        _actors[get_ident()] = self
        try:
            self.session = _session()
            if self._hold is not None:
                return self._act()
            assert wiring.storage is not None
            with wiring.storage.transaction():
                result = self._act()
                self._stand()
            return result
        finally:
            del _actors[get_ident()]
            connections.close_all()

    def _stand(self) -> None:
        self._held.set()
        reached(self._may_commit)

    def _wait_for(self, moment: Event) -> None:
        """Wait until the actor is there, has ended without getting there, or waits for a lock."""
        assert self._thread is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not moment.wait(_LOOK_SECONDS[connection.vendor]):
            if self._thread.is_done_within(0):
                return
            if self.session and is_waiting_for_a_lock(self.session):
                self.was_blocked = True
                return
            assert time.monotonic() < deadline, "The actor neither gets there, nor ends, nor waits for a lock."


def _session() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SESSION[connection.vendor])
        return int(cursor.fetchone()[0])
