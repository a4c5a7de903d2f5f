"""Messages to q2's workers: they carry ids only, join the caller's transaction if they can, else follow its commit."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from django.db import transaction

from automation.q2_executor import broker
from automation.q2_executor.broker import Broker
from automation.q2_executor.instants import as_stored
from automation.q2_executor.message import Message
from automation.q2_executor.trampoline import trampoline

__all__ = ["AfterCommit", "after_commit_of", "send", "together"]

AfterCommit = Callable[[Callable[[], None]], None]

logger = logging.getLogger("automation.q2_executor")

BATCH = 500
"""Rows per INSERT: what every database takes at once."""


@dataclass(slots=True)
class _Held:
    """Messages of one kind of sending, held back until the end of the block."""

    after_commit: AfterCommit
    messages: list[Message] = field(default_factory=list)


_holding: ContextVar[dict[tuple[str | None, str], _Held] | None] = ContextVar("automation_holding", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Hold messages back, and send them at the end of the block in one go; when it raises, send none."""
    if _holding.get() is not None:
        yield
        return
    held: dict[tuple[str | None, str], _Held] = {}
    token = _holding.set(held)
    try:
        yield
    finally:
        _holding.reset(token)
    for (joins, queue), each in held.items():
        try:
            send(each.messages, joins=joins, after_commit=each.after_commit, queue=queue)
        except Exception:
            # The rows that the messages are about are stored; the sweeps find them.
            logger.exception("%s messages could not be sent.", len(each.messages))


def after_commit_of(alias: str) -> AfterCommit:
    """Return the way to have something done after the commit on `alias`: what it raises is logged, not passed on."""
    return partial(transaction.on_commit, using=alias, robust=True)


def send(
    messages: Sequence[Message], *, joins: str | None, after_commit: AfterCommit, queue: str | None = None
) -> None:
    """Hand messages to the broker.

    `joins` is the database whose transaction the caller may be in. With the ORM broker on that very database the
    messages are rows of that transaction; otherwise they are sent by `after_commit`, which logs what goes wrong.
    """
    if not messages:
        return
    queue = queue or broker.main_queue()
    held = _holding.get()
    if held is not None:
        held.setdefault((joins, queue), _Held(after_commit)).messages.extend(messages)
        return
    # Django names what it could not call after a commit, so these are functions with a name, not partials.
    match broker.kind():
        case Broker.SYNC:
            trampoline.add(after_commit, messages)
        case Broker.ORM if joins is not None and joins == broker.orm_alias() and not transaction.get_autocommit(joins):
            _insert(messages, queue)
        case Broker.ORM:
            after_commit(lambda: _insert(messages, queue))
        case _:
            after_commit(lambda: _push(messages, queue))


def _insert(messages: Sequence[Message], queue: str) -> None:
    # Not through q2's own ORM broker: that one closes connections, in the caller's transaction too when it is on
    # another database, and needs a statement per message.
    from django_q.models import OrmQ

    now = datetime.now(UTC)
    rows = [
        OrmQ(key=queue, payload=_package(message, queue), lock=as_stored(message.at or now)) for message in messages
    ]
    alias = broker.orm_alias()
    # A savepoint, where the caller has a transaction: should q2's table be missing or out of order, the caller's own
    # rows can still be committed. Without it the error would be logged, and the commit would be a rollback.
    with transaction.atomic(using=alias):
        OrmQ.objects.using(alias).bulk_create(rows, batch_size=BATCH)


def _push(messages: Sequence[Message], queue: str) -> None:
    from automation.q2_executor.timers import keep

    target = broker.broker_for(queue)
    for message in messages:
        if message.at is None or message.at <= datetime.now(UTC):
            target.enqueue(_package(message, queue))
        else:
            keep(target, _package(message, queue), message.at)


class _Envelope:
    """Stands where q2 expects a broker, and keeps the signed package instead of sending it."""

    def __init__(self, queue: str, message: Message) -> None:
        self.list_key = queue
        """What q2 logs as the queue that was sent to."""
        self.package = ""
        self._message = message

    def enqueue(self, package: str) -> str:
        """Keep the package, and return what q2 logs as its name."""
        self.package = package
        at = "" if self._message.at is None else f" for {self._message.at:%H:%M:%S}"
        return " ".join([self._message.task.rpartition(".")[2], *self._message.args]) + at


def _package(message: Message, queue: str) -> str:
    from django_q.tasks import async_task

    envelope = _Envelope(queue, message)
    # q2 keeps no trace of a success, and does not repeat a failure: the rows of runs and events say what is owed.
    options = {"broker": envelope, "save": False, "ack_failure": True, "cached": False}
    async_task(message.task, *message.args, q_options=options)
    return envelope.package
