"""A clock that stands still until it is moved, and that the whole process believes."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, Protocol, TypeVar
from unittest import TestCase
from zoneinfo import ZoneInfo

import time_machine

from automation.testing.installed import wirings
from automation.testing.rounds import own_rounds

__all__ = ["DEFAULT_START", "FakeClock", "Itinerary", "Zone"]

Zone = str | tzinfo | None
"""A name such as `"Europe/Berlin"`, a tzinfo, or None for the clock's own zone."""

DEFAULT_START = datetime(2030, 1, 7, 9, tzinfo=UTC)
"""A Monday at nine, far from every change of summer time. A fixed start makes every run of a test the same."""

_A_STEP_OF_THE_SEARCH = timedelta(days=1)
_SEARCHED_DAYS = 400
"""Zones that change at all change at least once within a year."""
_MOST_STOPS = 20_000
"""A year of something hourly fits in twice; more is most likely something that never gets anywhere."""

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Itinerary(Protocol):
    """What happens on the way when a clock moves: the clock stops at each due moment, in order."""

    def arrive(self) -> datetime | None:
        """Do everything that is due now; return the earliest later moment at which something is, or None."""
        ...


class FakeClock:
    """The time as a test says it is. Both Clock ports, and the process's own clock while active.

    Inside `with clock:` (or as a decorator of a function or a `TestCase` class) `timezone.now()`, `datetime.now()`,
    `time.time()`, events and workflows all read this clock. It never moves by itself. `time.monotonic()` goes on
    as always, so that timeouts of libraries still work.

    When it is moved while active, it stops at each moment at which something is due, in order, and that happens there:
    what its Harness does, or, for a clock alone, what the installed events and workflows owe. Where neither is
    installed, or the test may not use the database, it moves in one go.

    `at` is a datetime or an ISO text; without an offset it is read as wall time in `zone`. `zone` is Django's
    `TIME_ZONE` unless given, or UTC where there is no Django.
    """

    def __init__(self, at: datetime | str | None = None, *, zone: Zone = None) -> None:
        self._zone = zone
        self._start_at = DEFAULT_START if at is None else self.instant(at)
        self._now = self._start_at
        self._itineraries: list[Itinerary] = []
        self._traveller: time_machine.Traveller | None = None
        self._active: list[ExitStack] = []

    def __repr__(self) -> str:
        return f"FakeClock({self._now.isoformat()!r})"

    # Reading

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return self._now

    def local(self, zone: Zone = None) -> datetime:
        """Return the current time as a wall clock in `zone` shows it."""
        return self._now.astimezone(self._zone_of(zone))

    def instant(self, at: datetime | str, zone: Zone = None) -> datetime:
        """Return the moment, aware in UTC, at which a wall clock in `zone` shows `at`.

        An `at` with an offset of its own is only converted. Raises ValueError for a wall time that does not exist in
        the zone (clocks go forward over it), or that exists twice (clocks go back over it) and has no offset, and for
        a text that is none; TypeError for what is neither datetime nor text.
        """
        wall = _wall(at)
        if wall.tzinfo is not None:
            return wall.astimezone(UTC)
        return _unambiguous(wall, self._zone_of(zone))

    def next_change(self, zone: Zone = None) -> datetime:
        """Return the next moment at which wall clocks in `zone` change. ValueError if they never do."""
        where = self._zone_of(zone)
        for day in range(_SEARCHED_DAYS):
            early = self._now + day * _A_STEP_OF_THE_SEARCH
            late = early + _A_STEP_OF_THE_SEARCH
            if _offset(early, where) != _offset(late, where):
                return _change_between(early, late, where)
        raise ValueError(f"Wall clocks in {where} are not changed in the {_SEARCHED_DAYS} days after {self._now}.")

    # Moving

    def advance(
        self,
        by: timedelta = timedelta(0),
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Move on by a length of time, stopping at every due moment on the way.

        A day is 24 hours, whatever wall clocks do; `advance_to_next("09:00")` follows wall clocks.
        """
        self._travel(self._after(by, weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds))

    def advance_to(self, at: datetime | str, *, zone: Zone = None) -> None:
        """Move on to a moment (see `instant`), stopping at every due moment on the way."""
        self._travel(self.instant(at, zone))

    def advance_to_next(self, wall_time: str, *, zone: Zone = None) -> None:
        """Move on until a wall clock in `zone` shows `wall_time` (`"09:00"`) again: today if it is still ahead.

        A day on which that wall time does not exist is passed over; where it exists twice, the first is meant.
        """
        where = self._zone_of(zone)
        hour_and_minute = _hour_and_minute(wall_time)
        today = self._now.astimezone(where).date()
        for ahead in range(3):
            wall = datetime.combine(today + timedelta(days=ahead), hour_and_minute)
            moment = wall.replace(tzinfo=where).astimezone(UTC)
            if moment > self._now and _exists(wall, where):
                return self._travel(moment)
        raise ValueError(f"Wall clocks in {where} do not show {wall_time!r} in the three days after {self._now}.")

    def jump(
        self,
        by: timedelta = timedelta(0),
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Move on in one go by a length of time (see `advance`), as if every process had been down meanwhile.

        What came due is done when the clock is next advanced, or a verb of the Harness is used.
        """
        moment = self._after(by, weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        self._set(self._not_back(moment))

    def turn_back(self, at: datetime) -> None:
        """Show an earlier time again, to tell a story once more. Nothing happens on the way."""
        self._set(at)

    def attach(self, itinerary: Itinerary) -> None:
        """Stop for this itinerary from now on, instead of what the clock would find by itself (a Harness does this)."""
        self._itineraries.append(itinerary)

    def detach(self, itinerary: Itinerary) -> None:
        """Stop for this itinerary no more."""
        self._itineraries.remove(itinerary)

    def _after(self, by: timedelta, **units: float) -> datetime:
        _refuse_a_bare_number(by)
        try:
            return self._now + by + timedelta(**units)
        except OverflowError as error:
            raise ValueError(f"The clock shows {self._now.isoformat()}, and no date lies so far from it.") from error

    def _travel(self, target: datetime) -> None:
        self._not_back(target)
        with self._accompanied():
            self._stop_on_the_way(target)
        self._set(max(target, self._now))

    def _stop_on_the_way(self, target: datetime) -> None:
        due_at = self._arrive()
        stops = 0
        while due_at is not None and due_at <= target:
            if (stops := stops + 1) > _MOST_STOPS:
                raise RuntimeError(
                    f"On the way to {target} something was due at {_MOST_STOPS} moments. Take smaller steps."
                )
            # What happened on the way may itself have moved the clock: a callback under test, for example.
            self._set(max(due_at, self._now))
            due_at = self._arrive()

    @contextmanager
    def _accompanied(self) -> Iterator[None]:
        """See to it that what is due on the way is done. A clock that nobody believes changes nothing."""
        if self._itineraries or not self._active:
            yield
            return
        with own_rounds() as rounds, ExitStack() as stack:
            if rounds is not None:
                self.attach(rounds)
                stack.callback(self.detach, rounds)
            yield

    def _not_back(self, target: datetime) -> datetime:
        if target < self._now:
            raise ValueError(f"The clock shows {self._now.isoformat()}; it cannot go back to {target.isoformat()}.")
        return target

    def _arrive(self) -> datetime | None:
        moments = [itinerary.arrive() for itinerary in tuple(self._itineraries)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _set(self, at: datetime) -> None:
        if self._traveller is not None:
            self._traveller.shift(at - self._now)
        self._now = at

    # Being believed

    def __enter__(self) -> "FakeClock":
        with ExitStack() as stack:
            if not self._active:
                stack.callback(setattr, self, "_traveller", None)
                self._traveller = stack.enter_context(self._process_clock())
                for wiring in wirings():
                    stack.enter_context(wiring.override(clock=self))
            self._active.append(stack.pop_all())
        return self

    def __exit__(self, *_: object) -> None:
        self._active.pop().close()

    def _process_clock(self) -> time_machine.travel:
        # By a number, not a datetime: with an aware datetime time-machine would also change the process's time zone.
        whole_seconds = self._now.replace(microsecond=0)
        travel = _Travel(int(whole_seconds.timestamp()), tick=False)
        travel.rest = self._now - whole_seconds
        return travel

    def __call__(self, decorated: Decorated) -> Decorated:
        """Run the function, or each test of the class, at this clock's first moment."""
        if isinstance(decorated, type):
            return self._decorate_class(decorated)  # type: ignore[no-any-return]
        if inspect.iscoroutinefunction(decorated):

            @functools.wraps(decorated)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self._from_the_start():
                    return await decorated(*args, **kwargs)

            return run_async  # type: ignore[return-value]

        @functools.wraps(decorated)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._from_the_start():
                return decorated(*args, **kwargs)

        return run  # type: ignore[return-value]

    def _decorate_class(self, decorated: Any) -> Any:
        if not issubclass(decorated, TestCase):
            raise TypeError(f"FakeClock decorates functions and TestCase classes; {decorated!r} is neither.")
        set_up = decorated.setUp
        clock = self

        @functools.wraps(set_up)
        def set_up_in_time(self: TestCase) -> None:
            vars(self)["_automation_clock"] = self.enterContext(clock._from_the_start())
            set_up(self)

        decorated.setUp = set_up_in_time
        return decorated

    def rewind(self) -> None:
        """Show the first moment again, unless the clock is in use: a decorated test begins anew."""
        if not self._active:
            self._now = self._start_at

    def _from_the_start(self) -> "FakeClock":
        self.rewind()
        return self

    def _zone_of(self, zone: Zone) -> tzinfo:
        chosen = zone or self._zone or _zone_of_django()
        return ZoneInfo(chosen) if isinstance(chosen, str) else chosen


class _Travel(time_machine.travel):
    """A journey that begins to the microsecond."""

    rest = timedelta(0)

    def start(self) -> time_machine.Traveller:
        traveller = super().start()
        traveller.shift(self.rest)
        return traveller


def _wall(at: Any) -> datetime:
    """Return what was given as a moment. A `date` is none: nobody has said at what time."""
    what_to_do = f"{at!r} is no moment. Give a datetime, or a text such as '2030-03-31 09:00'."
    if isinstance(at, datetime):
        return at
    if not isinstance(at, str):
        raise TypeError(what_to_do)
    try:
        return datetime.fromisoformat(at)
    except ValueError as error:
        raise ValueError(what_to_do) from error


def _hour_and_minute(wall_time: str) -> time:
    try:
        return datetime.strptime(wall_time, "%H:%M").time()  # noqa: DTZ007 (a wall time has no date yet)
    except ValueError as error:
        raise ValueError(f"{wall_time!r} is no wall time. Write hours and minutes: '09:00'.") from error


def _refuse_a_bare_number(by: Any) -> None:
    if isinstance(by, datetime | str):
        raise TypeError(f"{by!r} is no length of time. Write advance(minutes=...), or advance_to({by!r}).")
    if not isinstance(by, timedelta):
        raise TypeError(f"{by!r} of what? Write advance(minutes={by!r}), or give a timedelta.")


def _zone_of_django() -> str:
    conf = sys.modules.get("django.conf")
    return conf.settings.TIME_ZONE if conf is not None and conf.settings.configured else "UTC"


def _unambiguous(wall: datetime, zone: tzinfo) -> datetime:
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if not _exists(wall, zone):
        raise ValueError(
            f"{wall.isoformat(sep=' ')!r} does not exist in {zone}: clocks go forward over it. Name a time that does."
        )
    if first.utcoffset() != second.utcoffset():
        choice = f"{first.isoformat(sep=' ')!r} or {second.isoformat(sep=' ')!r}"
        raise ValueError(
            f"{wall.isoformat(sep=' ')!r} exists twice in {zone}: clocks go back over it. Say which one: {choice}."
        )
    return first.astimezone(UTC)


def _exists(wall: datetime, zone: tzinfo) -> bool:
    there_and_back = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there_and_back.replace(tzinfo=None) == wall


def _offset(at: datetime, zone: tzinfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def _change_between(early: datetime, late: datetime, zone: tzinfo) -> datetime:
    """Halve the span until it is shorter than a second; changes of the clock fall on whole seconds."""
    before = _offset(early, zone)
    while late - early > timedelta(microseconds=1):
        middle = early + (late - early) / 2
        early, late = (middle, late) if _offset(middle, zone) == before else (early, middle)
    return late
