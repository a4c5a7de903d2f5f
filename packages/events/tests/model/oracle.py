"""A second, naive account of what the contract promises about a reservation's two events: dicts and no database."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

LATE_LIMIT = timedelta(hours=24)


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
class Oracle:
    """All reservations by their keys."""

    now: datetime
    bookings: dict[int, Booking] = field(default_factory=dict)
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
