"""A queue in memory whose worker is the test: nothing runs before the test says so, and always in the same order."""

import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, TypeAlias
from uuid import UUID

from automation.testing.commits import after_commit, run_commit_hooks
from automation.testing.faults import Faults, WorkerDied
from automation.testing.installed import events_wiring, workflows_wiring
from automation.testing.lengths import check_length
from automation.testing.loops import NeverIdleError, refuse_a_loop
from automation.testing.messages import Kind, Message

__all__ = ["FakeExecutor", "NeverIdleError"]

_Committed: TypeAlias = Callable[[Callable[[], None]], None]
"""Calls what it is given once the transaction has been committed."""
_Chosen: TypeAlias = Message | Iterable[Message] | None
"""Some of the queued messages, or, for None, all of them."""
_TEN_YEARS = timedelta(days=3650)
_AGAIN_AND_AGAIN = 1_000
"""Times that one thing may ask to be worked on in one moment; a run that many others signal to asks often."""
_REMEMBERED = 1_000
"""Messages kept in `history`, so that a test of a long chain does not grow without bound."""


class FakeExecutor:
    """The Executor of workflows and the Dispatcher of events, in memory and in one thread.

    Messages wait until `run_next` or `run_until_idle`. The time is `datetime.now(UTC)`, so a FakeClock governs it.
    `faults` makes it misbehave at random with a seed; `drop`, `duplicate`, `delay` and `reorder` do so on request.
    By itself it keeps one message for one thing at one moment, however often it is asked for. What is sent inside a
    transaction is queued by its commit.
    """

    def __init__(self, *, faults: Faults | None = None, horizon: timedelta = _TEN_YEARS) -> None:
        check_length(horizon, "horizon=")
        self._horizon = horizon
        self._queue: list[Message] = []
        self._numbers = count(1)
        self.history: deque[Message] = deque(maxlen=_REMEMBERED)
        """The messages that were run, oldest first."""
        self.deaths = 0
        """How many messages killed their worker."""
        self.current: Message | None = None
        """The message that is being worked on."""
        self.on_death: Callable[[Message], None] | None = None
        """Called when a message has killed its worker: by default the message is lost with it."""
        self.patience = 20
        """How often a run may be taken up in one moment and not come to a pause: each time it takes up to 100 steps."""
        self.misbehave(faults)

    def __repr__(self) -> str:
        return f"FakeExecutor({len(self._queue)} queued)"

    def __str__(self) -> str:
        """List what is queued and when it is due, soonest first."""
        if not self._queue:
            return "nothing queued"
        return "\n".join(f"{message}{self._distance(message)}" for message in self.pending)

    # The ports

    @property
    def horizon(self) -> timedelta:
        """How far ahead times are worth giving: ten years, unless said otherwise."""
        return self._horizon

    def enqueue(self, run_ids: Sequence[UUID], *, run_after: datetime | None = None) -> None:
        """Queue one message for each run (the Executor port)."""
        for run_id in run_ids:
            self._send(_storage_commit, kind=Kind.RUN, due_at=run_after, id=run_id)

    def deliver(self, delivery_ids: Sequence[UUID], *, using: str) -> None:
        """Queue one message for each delivery (the Dispatcher port)."""
        for delivery_id in delivery_ids:
            self._send(_commit_on(using), kind=Kind.DELIVERY, due_at=None, id=delivery_id, using=using)

    def hint(self, at: datetime, *, using: str) -> None:
        """Queue a look at what is due (the Dispatcher port)."""
        self._send(_commit_on(using), kind=Kind.HINT, due_at=at, using=using)

    # Looking

    @property
    def pending(self) -> tuple[Message, ...]:
        """What is queued, soonest first."""
        return tuple(sorted(self._queue, key=_order))

    @property
    def due(self) -> tuple[Message, ...]:
        """What is queued and may run now, soonest first."""
        now = datetime.now(UTC)
        return tuple(message for message in self.pending if message.due_at <= now)

    def next_due(self, after: datetime) -> datetime | None:
        """Return the earliest time later than `after` at which a message is due."""
        return min((message.due_at for message in self._queue if message.due_at > after), default=None)

    # Running

    def run_next(self) -> Message | None:
        """Run the message that is due first, and what its commits set off; None when nothing is due now."""
        run_commit_hooks()
        due = self.due
        if not due:
            return None
        message = self._random.choice(due) if self.faults.reorder else due[0]
        self._queue.remove(message)
        self._work(message)
        return message

    def run_until_idle(self, limit: int = 10_000) -> int:
        """Run messages until none is due now; return how many ran.

        The clock does not move, so what is due later stays queued. Raises NeverIdleError after `limit` messages, when
        one thing has asked to be worked on a thousand times in this one moment, or when a run goes on and on in it
        without coming to a pause (see `patience`).
        """
        seen: Counter[object] = Counter()
        for ran in range(limit):
            message = self.run_next()
            if message is None:
                return ran
            seen[message.kind, message.id, message.using] += 1
            if seen[message.kind, message.id, message.using] >= _AGAIN_AND_AGAIN:
                limit = ran + 1
                break
            if message.kind is Kind.RUN and seen[message.kind, message.id, message.using] >= self.patience:
                refuse_a_loop(message.id, self.patience)
        raise NeverIdleError(
            f"After {limit} messages there is still work due now: something keeps starting itself. Queued:\n{self}"
        )

    # Misbehaving

    def misbehave(self, faults: Faults | None) -> None:
        """Behave like this from now on; None means: perfectly."""
        self.faults = faults or Faults()
        self._random = random.Random(self.faults.seed)

    def drop(self, messages: _Chosen = None) -> int:
        """Lose these messages, or all; return how many were lost. Of two alike, one is lost for each that is given."""
        lost = self._chosen(messages)
        for message in lost:
            self._queue.remove(message)
        return len(lost)

    def duplicate(self, messages: _Chosen = None) -> int:
        """Queue these messages, or all, once more; return how many."""
        doubled = self._chosen(messages)
        self._queue.extend(doubled)
        return len(doubled)

    def redeliver(self, message: Message) -> None:
        """Queue a message once more for now, as a queue does whose worker never acknowledged it."""
        self._queue.append(replace(message, due_at=datetime.now(UTC)))

    def clear(self) -> None:
        """Forget everything: what is queued, what ran, and how far the faults' luck has got."""
        self._queue.clear()
        self.history.clear()
        self.deaths = 0
        self.misbehave(self.faults)

    def delay(self, by: timedelta, messages: _Chosen = None) -> int:
        """Let these messages, or all, arrive later; return how many."""
        check_length(by, "by=")
        late = self._chosen(messages)
        self.drop(late)
        self._queue.extend(replace(message, due_at=message.due_at + by) for message in late)
        return len(late)

    def reorder(self, seed: int = 0) -> None:
        """Shuffle the messages that are due now: they run in another order, the same for the same seed."""
        due = list(self.due)
        numbers = [message.number for message in due]
        random.Random(seed).shuffle(numbers)
        now = datetime.now(UTC)
        shuffled = [replace(message, number=number, due_at=now) for message, number in zip(due, numbers, strict=True)]
        self._queue = [message for message in self._queue if message not in due] + shuffled

    def _chosen(self, messages: _Chosen) -> list[Message]:
        if messages is None:
            return list(self._queue)
        wanted = Counter([messages] if isinstance(messages, Message) else messages)
        return [message for message, times in (wanted & Counter(self._queue)).items() for _ in range(times)]

    def _send(self, committed: _Committed, *, kind: Kind, due_at: datetime | None, **names: Any) -> None:
        now = datetime.now(UTC)
        message = Message(number=next(self._numbers), kind=kind, due_at=max(due_at or now, now), **names)
        committed(lambda: self._queue_up(message))

    def _queue_up(self, message: Message) -> None:
        if not any(_asks_the_same(queued, message) for queued in self._queue):
            self._queue.extend(self._meddled(message))

    def _meddled(self, message: Message) -> list[Message]:
        if self._happens(self.faults.drop):
            return []
        if self._happens(self.faults.delay):
            message = replace(message, due_at=message.due_at + self.faults.longest_delay * self._random.random())
        return [message, message] if self._happens(self.faults.duplicate) else [message]

    def _happens(self, rate: float) -> bool:
        # A rate of nought draws nothing, so that a fault more or less does not change the luck of the others.
        return rate > 0 and self._random.random() < rate

    def _work(self, message: Message) -> None:
        self.history.append(message)
        self.current = message
        try:
            _action(message)()
            run_commit_hooks()
        except (WorkerDied, SystemExit):
            # The process of a real worker would be gone, and with it the message; the row is still owed.
            self.deaths += 1
            if self.on_death is not None:
                self.on_death(message)
        finally:
            self.current = None

    def _distance(self, message: Message) -> str:
        ahead = message.due_at - datetime.now(UTC)
        return f" (in {ahead})" if ahead > timedelta(0) else " (now)"


def _order(message: Message) -> tuple[datetime, int]:
    return message.due_at, message.number


def _storage_commit(action: Callable[[], None]) -> None:
    """Call `action` with the commit of the engine's storage."""
    storage = workflows_wiring().storage
    if hasattr(storage, "alias"):
        after_commit(action, alias=storage.alias)
    elif storage is not None:
        storage.after_commit(action)
    else:
        action()


def _commit_on(alias: str) -> _Committed:
    """Return what calls an action with the commit on a database; without Django there is none to wait for."""
    return partial(after_commit, alias=alias) if "django.db" in sys.modules else lambda action: action()


def _asks_the_same(one: Message, other: Message) -> bool:
    """Sweeps repeat their hints; twice the same for the same moment says no more than once."""
    return (one.kind, one.id, one.using, one.due_at) == (other.kind, other.id, other.using, other.due_at)


def _action(message: Message) -> Callable[[], object]:
    match message.kind:
        case Kind.RUN:
            worker = workflows_wiring().worker
            return lambda: worker.execute_step(message.id)
        case Kind.DELIVERY:
            processor = events_wiring().processor
            return lambda: processor.deliver([message.id], using=message.using)
        case Kind.HINT:
            return events_wiring().processor.process_due_events  # type: ignore[no-any-return]
