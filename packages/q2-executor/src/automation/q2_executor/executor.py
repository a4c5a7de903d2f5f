"""Hands runs and event work to django-q2's workers."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import router, transaction

from automation.q2_executor import timers
from automation.q2_executor.conf import conf
from automation.q2_executor.message import Message
from automation.q2_executor.models import Heartbeat
from automation.q2_executor.sending import AfterCommit, after_commit_of, send, together

__all__ = ["DELIVER_EVENT", "EXECUTE_RUN", "WAKE_EVENTS", "Q2Dispatcher", "Q2Executor", "again_now", "gathered"]

EXECUTE_RUN = "automation.q2_executor.tasks.execute_run"
DELIVER_EVENT = "automation.q2_executor.tasks.deliver_event"
WAKE_EVENTS = "automation.q2_executor.tasks.wake_events"

NO_TIME = timedelta(0)

_gathering: ContextVar[list[Message] | None] = ContextVar("automation_gathering", default=None)


@contextmanager
def gathered() -> Iterator[None]:
    """Gather the timers that a sweep repeats, and send those that are missing in as few statements as can be.

    A sweep gives a timer to every run that is due before the next sweeps. Most have one already.
    """
    token = _gathering.set([])
    try:
        yield
    finally:
        messages = _gathering.get() or []
        _gathering.reset(token)
        if messages:
            alias, after_commit = _storage()
            # After the commit, where there is none to wait for, means now, and what the broker raises is logged.
            after_commit(lambda: send(timers.missing(messages), joins=alias, after_commit=after_commit))


class Q2Executor:
    """The workflows' `Executor`: one task for each run, a timer for each time that is near."""

    @property
    def horizon(self) -> timedelta:
        """How far ahead timers are kept; zero when this broker has none."""
        return conf().horizon_of_runs if timers.available() else NO_TIME

    def enqueue(self, run_ids: Sequence[UUID], *, run_after: datetime | None = None) -> None:
        """Have each run executed, soon or at `run_after`. What is beyond the horizon is left to the sweeps."""
        if _is_near(run_after, self.horizon):
            messages = [Message(task=EXECUTE_RUN, args=(str(run_id),), at=run_after) for run_id in run_ids]
            alias, after_commit = _storage()
            gathering = _gathering.get()
            if gathering is not None and run_after is not None and _is_free(alias):
                gathering.extend(messages)
            else:
                send(messages, joins=alias, after_commit=after_commit)


class Q2Dispatcher:
    """The events' `Dispatcher`: one task for each delivery, a timer for each near date."""

    @property
    def horizon(self) -> timedelta:
        """How far ahead timers are kept; zero when this broker has none."""
        return conf().horizon_of_events if timers.available() else NO_TIME

    def together(self) -> AbstractContextManager[None]:
        """Send the messages of one save as one: those of events and those of the runs that follow them."""
        return together()

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> None:
        """Have each delivery run by a worker. One task each, so that a slow callback holds up no other."""
        messages = [Message(task=DELIVER_EVENT, args=(using, str(delivery_id))) for delivery_id in delivery_ids]
        send(messages, joins=using, after_commit=after_commit_of(using))

    def hint(self, at: datetime, *, using: str) -> None:
        """Have due events processed at `at`. What is beyond the horizon is left to the poll."""
        if not _is_near(at, self.horizon):
            return
        hints, after_commit = [Message(task=WAKE_EVENTS, at=at)], after_commit_of(using)
        if _is_free(using) and timers.available():
            # Each poll sets a timer for what is due next. Without this look for one that is there already, each save of
            # a near date would start a chain of polls that wake at each date to come.
            after_commit(lambda: send(timers.missing(hints), joins=using, after_commit=after_commit))
        else:
            send(hints, joins=using, after_commit=after_commit)


def again_now(task: str, *args: str, queue: str | None = None) -> None:
    """Have another worker do this, because this task's time is up."""
    alias = router.db_for_write(Heartbeat)
    send([Message(task=task, args=args)], joins=alias, after_commit=after_commit_of(alias), queue=queue)


def _is_near(at: datetime | None, horizon: timedelta) -> bool:
    """Return whether a message for this time is worth sending."""
    return at is None or at <= datetime.now(UTC) + horizon


def _is_free(alias: str | None) -> bool:
    """Return whether no transaction is open which a message would have to join."""
    return alias is not None and transaction.get_autocommit(alias)


def _storage() -> tuple[str | None, AfterCommit]:
    """Return the database of the engine's storage, None when it has none, and its way to follow a commit."""
    from automation.workflows.ports import wiring

    storage = wiring.storage
    if storage is None:
        raise RuntimeError("The engine has no storage. Add 'automation.workflows' to INSTALLED_APPS.")
    return getattr(storage, "alias", None), storage.after_commit
