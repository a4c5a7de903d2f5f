"""One handle on everything: time, the queue, the verbs of the engine, and what came of it all."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from automation.testing.aio import Awaited
from automation.testing.assertions import Assertions
from automation.testing.clock import FakeClock, Zone
from automation.testing.crashes import (
    Passage,
    UnsafeStepError,
    explain,
    release_what_the_dead_held,
)
from automation.testing.executor import FakeExecutor
from automation.testing.faults import Faults
from automation.testing.installed import engine, events_wiring, refuse_under_loop, workflows_wiring
from automation.testing.lengths import check_length
from automation.testing.loops import refuse_a_long_sleep
from automation.testing.messages import Message
from automation.testing.names import refuse_unknown_attribute
from automation.testing.outcomes import compare, outcome_of, settled, unstable
from automation.testing.recording import Recording, deliveries_held, recorded
from automation.testing.replays import undone
from automation.testing.rounds import LIMIT, Rounds
from automation.testing.stubs import StubbedStep, stubbed_step
from automation.testing.swaps import hushed, swapped

if TYPE_CHECKING:
    from automation.workflows.runs.values import Run

__all__ = ["Harness"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Saved = TypeVar("Saved")


class Harness(Assertions):
    """Time stands still and nothing runs by itself; each verb lets happen what is due, in order, and then stops.

    Works with events, with workflows, or with both, whichever is installed. In Django's `TestCase` and pytest's `db`
    nothing is ever committed, so what waits for a commit is run by the verbs, in order; in `TransactionTestCase`
    commits are real.

    `at` and `zone` set the clock (see FakeClock), or `clock` is one that there is. `inline=True` has no queue at all,
    as a project without `automation.q2_executor`. `faults` makes the queue misbehave. `storage` replaces the storage
    of workflows, with a MemoryStorage for example.
    """

    def __init__(
        self,
        *,
        at: datetime | str | None = None,
        zone: Zone = None,
        clock: FakeClock | None = None,
        inline: bool = False,
        faults: Faults | None = None,
        storage: Any = None,
    ) -> None:
        self.clock = clock or FakeClock(at, zone=zone)
        self.executor = FakeExecutor(faults=faults)
        self._inline = inline
        self._storage = storage
        self._rounds = Rounds(self.executor, on_death=self._mourn)
        self._skips_sleeps = False
        self._passage: Passage | None = None
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"Harness(at={self.clock.now().isoformat()!r}, {len(self.executor.pending)} queued)"

    def __enter__(self) -> "Harness":
        with ExitStack() as stack:
            stack.enter_context(self.clock)
            stack.enter_context(self._wired())
            self.clock.attach(self._rounds)
            stack.callback(self.clock.detach, self._rounds)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, decorated: Decorated) -> Decorated:
        """Run the function with the harness, at its first moment, as the last positional argument."""
        if inspect.iscoroutinefunction(decorated):

            @functools.wraps(decorated)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self._from_the_start():
                    return await decorated(*args, self, **kwargs)

            return run_async  # type: ignore[return-value]

        @functools.wraps(decorated)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._from_the_start():
                return decorated(*args, self, **kwargs)

        return run  # type: ignore[return-value]

    @property
    def aio(self) -> Awaited:
        """For async tests: the same verbs, assertions and blocks, to be awaited on the thread of the database."""
        return Awaited(self)

    # Verbs

    def start(self, workflow: Any, *, run_key: str | None = None, **kwargs: Any) -> "Run":
        """Start a workflow, by name or class, let happen what is due, and return the run as it is then."""
        refuse_under_loop()
        run = engine().start(workflow, run_key=run_key, **kwargs)
        self.run_until_idle()
        return self.run(run)

    def signal(self, name: str, payload: Any = None, *, key: str | None = None, run_id: Any = None) -> Any:
        """Send a signal, let happen what is due, and return the signal's id."""
        refuse_under_loop()
        sent = engine().signal(name, payload, key=key, run_id=run_id)
        self.run_until_idle()
        return sent

    def save(self, instance: Saved, *others: Any, **changes: Any) -> Saved:
        """Set the given fields, save, let happen what is due, and return the instance (the first of several)."""
        refuse_under_loop()
        for each in (instance, *others):
            _refuse_unsavable(each)
            for name, value in changes.items():
                refuse_unknown_attribute(each, name)
                setattr(each, name, value)
            each.save()
        self.run_until_idle()
        return instance

    def delete(self, *instances: Any) -> None:
        """Delete, and let happen what is due."""
        refuse_under_loop()
        for instance in instances:
            instance.delete()
        self.run_until_idle()

    def advance(self, by: timedelta = timedelta(0), **units: float) -> None:
        """Move the clock (see FakeClock.advance), letting happen what is due at each moment on the way, in order."""
        self.clock.advance(by, **units)

    def advance_to(self, at: datetime | str, *, zone: Zone = None) -> None:
        """Move the clock to a moment, letting happen what is due at each moment on the way, in order."""
        self.clock.advance_to(at, zone=zone)

    def run_until_idle(self, limit: int = LIMIT) -> None:
        """Let everything happen that is due now, and what follows from it, until nothing more is. Time stands still.

        Inside work that this very call does (a step that saves through the harness) it does nothing: that work is
        followed to its end anyway. Raises NeverIdleError after `limit` messages.
        """
        self._rounds.go(limit)
        began, slept = self.clock.now(), 0
        while self._skips_sleeps and not self._rounds.is_busy:
            sleeper = self._rounds.owed.next_sleeper(self.clock.now())
            if sleeper is None:
                return
            refuse_a_long_sleep(sleeper, slept, sleeper.wake_at - began)
            # One moment after the other: what else is due on the way happens on the way.
            self.clock.advance_to(min(sleeper.wake_at, self.next_due() or sleeper.wake_at))
            slept += 1

    def commit(self) -> int:
        """Run only what waits for the commit of what the test has saved; return how many hooks ran."""
        return self._rounds.commit()

    @contextmanager
    def stub_step(
        self,
        workflow: Any,
        step: Any,
        *,
        returns: Any = None,
        raises: BaseException | type[BaseException] | None = None,
        does: Any = None,
    ) -> Iterator[StubbedStep]:
        """Replace one step (by name or method) inside the block: its result, what it raises, or what it does.

        `does` is called with the workflow instance, as the step would be. Gives a StubbedStep, which tells how often
        the step was entered.
        """
        if sum(each is not None for each in (returns, raises, does)) != 1:
            raise ValueError(f"Say one thing that {step!r} does instead: returns=..., raises=... or does=...")

        if does is not None and not callable(does):
            raise TypeError(f"does={does!r} cannot be called. Give a function of the workflow, or returns={does!r}.")
        if raises is not None:
            does = _raising(raises)
        with stubbed_step(workflow, step, does or (lambda _: returns)) as stub:
            yield stub

    def at_every_crash_point(self, story: Callable[[], Any], *, ignore: Collection[str] = ()) -> int:
        """Tell a story undisturbed, then once for each point at which a worker could die; the ends must be alike.

        The story is a function without arguments that uses this harness. Compared are what it returns, how its runs
        and callbacks ended and with what on their Contexts, how many rows each table has, and the mails it sent; its
        own assertions must hold, too. Of UUIDs, such as idempotency keys, is compared which are the same. `ignore`
        names what is not to be compared, as the error names it: `["rows of bookings.logline"]`.

        Each telling begins at the present state and is undone, but not what the story does to objects outside it: make
        fakes inside it. The dead worker's claim is over at once, so that the times in the story stay true. Gives the
        number of deaths.

        Raises UnsafeStepError, naming the step that is not safe to repeat, and AssertionError for a story that ends
        differently though nobody dies.
        """
        if not callable(story):
            raise TypeError(f"{story!r} is no story. Give the function itself, without calling it.")
        self.run_until_idle()
        undisturbed, expected = self._tell(story)
        if isinstance(expected, Exception):
            raise expected
        again = self._tell(story)[1]
        expected = _without(ignore, expected)
        if not isinstance(again, Exception):
            expected = settled(expected, again)
        if text := _difference(expected, again):
            raise AssertionError(unstable(text))
        failures = []
        for number in range(1, undisturbed.passed + 1):
            passage, found = self._tell(story, kill_at=number)
            if passage.point is not None and (text := _difference(expected, found)):
                failures.append((passage.point, text))
        if failures:
            raise UnsafeStepError(explain(failures, undisturbed.passed))
        return undisturbed.passed

    @contextmanager
    def worker_dies(self, at: str, *, time: int | None = 1) -> Iterator[None]:
        """Inside the block, kill the worker that is the `time`-th to pass the point `at`, as `kill -9` would.

        `time=None` kills each that passes. There is a queue inside the block, whatever the Harness was told: what
        works in the test's own process cannot die alone. What it held stays claimed until the clock has moved past
        the claim's end, as in production. The points are `automation.workflows.engine.faults.POINTS` and
        `automation.events.faults.POINTS`.

        Raises AssertionError after the block when no worker has died in it, because the test would try nothing.
        """
        passage = Passage(kill_at=time or 0, only=at, is_at_work=self._is_at_work)
        with passage.watched(), self._queued():
            yield
        if passage.died_at is None:
            raise AssertionError(
                f"No worker died: {at!r} was passed {passage.passed} times in the block, and the worker that passes it "
                f"for time {time or 1} was to die. Let the work happen inside the block: start, save, move the clock, "
                "or `automation.run_until_idle()`."
            )

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Note what the block causes, and run none of it: it stays owed until time next moves or a verb is used.

        Events do occur, because that is what makes calls owed; no callback is called and no step entered.
        """
        at_rest = swapped(self._rounds, "is_busy", True)
        with self._queued(), deliveries_held(), at_rest, recorded(self.commit) as recording:
            yield recording

    @contextmanager
    def skip_sleeps(self) -> Iterator[None]:
        """Inside the block, let the clock jump over sleeps: `run_until_idle` goes on to the end of each.

        Only sleeps and retry delays of runs are skipped. Timeouts, offsets and the dates of events are waited for as
        ever, and what falls due during a skipped sleep happens in its turn.
        """
        with swapped(self, "_skips_sleeps", True):
            yield

    def run_to_end(self, run: Any, *, within: timedelta = timedelta(days=366)) -> "Run":
        """Move the clock from one due moment to the next until the run has ended; return it as it is then.

        Raises AssertionError with the run's timeline when nothing is left to wait for, or `within` is over.
        """
        check_length(within, "within=")
        began_at = self.clock.now()
        self.run_until_idle()
        while not (stored := self.run(run)).status.is_terminal:
            due_at = self.next_due()
            if due_at is None or due_at - began_at > within:
                raise self._failure(f"Expected it to end within {within}.", stored)
            self.clock.advance_to(due_at)
        return stored

    def next_due(self) -> datetime | None:
        """Return the next moment at which something is due: a message, a run, an event or a delivery."""
        return self._rounds.next_due()

    # Inside

    def _from_the_start(self) -> "Harness":
        self.clock.rewind()
        self.executor.clear()
        return self

    def _tell(self, story: Callable[[], Any], kill_at: int | None = None) -> tuple[Passage, dict[str, str] | Exception]:
        """Tell the story from the beginning, with one death or none; return the outcome, or what the story raised."""
        began = self.clock.now()
        passage = Passage(kill_at=kill_at, is_at_work=self._is_at_work)
        with undone(), self._storage_again(), self._dying(passage), hushed() if kill_at else nullcontext():
            try:
                returned = story()
                self.run_until_idle()
                return passage, outcome_of(returned)
            except Exception as error:  # noqa: BLE001 - the story is the test's own code: whatever it raises is its end
                return passage, error
            finally:
                self.executor.clear()
                self.clock.turn_back(began)

    def _is_at_work(self) -> bool:
        return self._rounds.is_sweeping or self.executor.current is not None

    @contextmanager
    def _dying(self, passage: Passage) -> Iterator[None]:
        def redeliver(message: Message) -> None:
            passage.mourn(message)
            release_what_the_dead_held()
            self.executor.redeliver(message)

        with (
            swapped(self.executor, "on_death", redeliver),
            swapped(self, "_passage", passage),
            self._queued(),
            passage.watched(),
        ):
            yield

    @contextmanager
    def _queued(self) -> Iterator[None]:
        """Have runs queued, also where there was no queue."""
        with ExitStack() as stack:
            if (workflows := workflows_wiring()) is not None:
                stack.enter_context(swapped(workflows, "executor", self.executor))
            yield

    @contextmanager
    def _storage_again(self) -> Iterator[None]:
        """Keep what a storage in memory holds apart from this telling of the story."""
        workflows = workflows_wiring()
        storage = None if workflows is None else workflows.storage
        if storage is None or hasattr(storage, "alias"):
            yield
            return
        with workflows.override(storage=type(storage)()):
            yield

    def _mourn(self) -> None:
        """A sweep has died, or a process that had just committed."""
        self.executor.deaths += 1
        if self._passage is not None:
            self._passage.mourn(None)
            release_what_the_dead_held()

    @contextmanager
    def _wired(self) -> Iterator[None]:
        queue = None if self._inline else self.executor
        with ExitStack() as stack:
            if (workflows := workflows_wiring()) is not None:
                stack.enter_context(workflows.override(storage=self._storage))
                stack.enter_context(swapped(workflows, "executor", queue))
            if (events := events_wiring()) is not None:
                stack.enter_context(swapped(events, "dispatcher", queue))
            yield


def _refuse_unsavable(given: Any) -> None:
    if isinstance(given, type) or not callable(getattr(given, "save", None)):
        raise TypeError(f"{given!r} cannot be saved. Give one model instance, or several: save(one, other, **changes).")


def _raising(raises: Any) -> Callable[[Any], Any]:
    """Return a step that raises an exception, or a class of them, as `raise` does."""
    raised = raises() if isinstance(raises, type) and issubclass(raises, BaseException) else raises
    if not isinstance(raised, BaseException):
        raise TypeError(f"raises={raises!r} is no exception. Give one, such as raises=TimeoutError('no answer').")

    def raise_it(_: Any) -> Any:
        # One instance for every try: without this, each traceback would have those of the tries before.
        raise raised.with_traceback(None)

    return raise_it


def _difference(expected: dict[str, str], found: dict[str, str] | Exception) -> str:
    return f"{type(found).__name__}: {found}" if isinstance(found, Exception) else compare(expected, found)


def _without(ignored: Collection[str], outcome: dict[str, str]) -> dict[str, str]:
    ignored = [ignored] if isinstance(ignored, str) else ignored
    unknown = set(ignored) - set(outcome)
    if unknown:
        raise ValueError(f"ignore={sorted(unknown)}: nothing is compared by that name. There is: {', '.join(outcome)}.")
    return {kind: text for kind, text in outcome.items() if kind not in ignored}
