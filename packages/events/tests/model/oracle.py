"""A second, naive account of what the contract promises about a reservation's two events: dicts and no database."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

LATE_LIMIT = timedelta(hours=24)
LATE = timedelta(hours=1)
"""How long after its start a shift may still come true."""


@dataclass
class Booking:
    """One reservation as the database has it, and what its events must have come to."""

    date: datetime | None
    confirmed: bool
    has_rows: bool = False
    # The scheduled event.
    status: str = "pending"
    at: datetime | None = None
    look_at: datetime | None = None
    last: datetime | None = None
    checkins: int = 0
    # The immediate event.
    greeted: int = 0
    wants_greeting: bool = False


@dataclass
class Duty:
    """One shift, whose start may come true late, but not for ever. Its date stays as it is."""

    date: datetime
    staffed: bool
    status: str = "pending"
    look_at: datetime | None = None
    found_false: bool = False
    """It was due, and false; from then on a save must come before the bound."""

    @property
    def bound(self) -> datetime:
        return self.date + LATE


@dataclass
class Oracle:
    """All reservations and shifts by their keys."""

    now: datetime
    bookings: dict[int, Booking] = field(default_factory=dict)
    duties: dict[int, Duty] = field(default_factory=dict)
    finished: dict[int, tuple[int, int]] = field(default_factory=dict)

    def saved(self, key: int) -> None:
        """A save or a sync has seen this reservation; nothing but immediate events occurs."""
        booking = self.bookings[key]
        booking.has_rows = True
        self._follow(booking)
        if booking.confirmed:
            booking.greeted = 1

    def deleted(self, key: int) -> None:
        booking = self.bookings.pop(key)
        checkins, greeted = self.finished.get(key, (0, 0))
        self.finished[key] = (checkins + booking.checkins, greeted + booking.greeted)

    def polled(self) -> None:
        """Everything due has been looked at until nothing was."""
        for booking in self.bookings.values():
            while booking.status == "pending" and booking.look_at is not None and booking.look_at <= self.now:
                self._look(booking)
        for duty in self.duties.values():
            while duty.status == "pending" and duty.look_at is not None and duty.look_at <= self.now:
                self._look_at_duty(duty)

    def planned(self, key: int, duty: Duty) -> None:
        """A shift was saved for the first time."""
        self.duties[key] = duty
        too_old = duty.date < self.now - LATE_LIMIT
        duty.status, duty.look_at = ("expired", None) if too_old else ("pending", duty.date)

    def staffed(self, key: int) -> None:
        """A shift was saved again. What comes true in time is owed, however late the processor looks."""
        duty = self.duties[key]
        if duty.status != "pending" or not duty.found_false:
            return
        if self.now >= duty.bound:
            duty.status = "expired"
        elif duty.staffed:
            duty.look_at, duty.found_false = self.now, False

    def _look_at_duty(self, duty: Duty) -> None:
        if duty.found_false and self.now >= duty.bound:
            duty.status = "expired"
        elif duty.staffed:
            duty.status = "occurred"
        else:
            duty.found_false = True
            duty.look_at = duty.bound if duty.bound > self.now else None

    def _look(self, booking: Booking) -> None:
        if booking.date != booking.at:
            self._follow(booking)
        elif booking.confirmed:
            booking.status = "occurred"
            booking.last = booking.at
            booking.checkins += 1
        else:
            booking.look_at = None

    def _follow(self, booking: Booking) -> None:
        if booking.status == "pending":
            if booking.date != booking.at:
                self._move(booking)
            elif booking.at is not None and booking.look_at is None and booking.confirmed:
                booking.look_at = self.now
        elif booking.date is not None and booking.date != booking.at:
            counts_again = booking.status == "expired" and booking.date >= self.now - LATE_LIMIT
            if (booking.date > self.now or counts_again) and booking.date != booking.last:
                self._arm(booking)
            else:
                booking.at = booking.date
                booking.last = booking.date if booking.status == "occurred" else booking.last

    def _move(self, booking: Booking) -> None:
        """Follow another date, unless it is not for a second occurrence: where the last one was, or past too soon."""
        had_come = booking.at is not None and booking.at <= self.now
        is_past = booking.date is not None and booking.date <= self.now
        if booking.last is not None and (booking.date == booking.last or (is_past and not had_come)):
            booking.status, booking.at, booking.look_at = "cancelled", booking.date, None
        else:
            self._arm(booking, owed=had_come)

    def _arm(self, booking: Booking, *, owed: bool = False) -> None:
        """Arm at the date, unless it is too old when first seen; what was armed in time and has come is owed."""
        too_old = booking.date is not None and booking.date < self.now - LATE_LIMIT and not owed
        booking.status = "expired" if too_old else "pending"
        booking.at = booking.date
        booking.look_at = None if too_old else booking.date
