"""A second, naive account of what the runs of a stay's arrival come to: no database, and time by the half hour."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

LATE_LIMIT = timedelta(hours=24)
BEFORE, AFTER = timedelta(hours=-1), timedelta(minutes=30)
"""The offsets of the two workflows that do not begin at the arrival itself."""


@dataclass
class Arrival:
    """One stay, its event, and the runs that it is to have had."""

    date: datetime | None
    confirmed: bool
    status: str = "pending"
    at: datetime | None = None
    is_asleep: bool = False
    """It was due, and the stay was not confirmed: only a save wakes it."""
    last: datetime | None = None
    before_at: datetime | None = None
    """When the run before is to begin; None: none is reserved, or it has begun."""
    is_put_off: bool = False
    """Its time had come, and the stay was not confirmed: only a save begins it, or the arrival."""
    after_at: datetime | None = None
    is_welcomed: bool = False
    """It was found confirmed by a save, and somebody waits for the arrival since."""
    heard: int = 0
    ran: Counter[str] = field(default_factory=Counter)

    @classmethod
    def created(cls, date: datetime | None, now: datetime, *, confirmed: bool) -> "Arrival":
        """A stay that is saved for the first time."""
        arrival = cls(date=date, confirmed=confirmed)
        arrival._arm(now)
        arrival.is_welcomed = confirmed
        arrival.look(now)
        return arrival

    def saved(self, now: datetime) -> None:
        """It has been saved, perhaps with another date or confirmation."""
        self.is_welcomed |= self.confirmed
        if self.status == "pending":
            if self.date != self.at:
                self._move(now)
            self.is_asleep = self.is_put_off = False
        elif self.date is not None and self.date != self.at:
            self._follow_what_is_over(now, self.date)
        self.look(now)

    def deleted(self) -> None:
        """The stay is gone, and with it what has not begun."""
        self.status, self.before_at, self.after_at = "deleted", None, None

    def look(self, now: datetime) -> None:
        """Let happen what is due."""
        if self.status == "pending" and self.at is not None and not self.is_asleep:
            self._look_ahead(now, self.at)
        if self.after_at is not None and self.after_at <= now:
            self.after_at = None
            self.ran["HalfAnHourAfter"] += 1

    def _look_ahead(self, now: datetime, at: datetime) -> None:
        if at <= now and not self.confirmed:
            self.is_asleep = True
        elif at <= now:
            self._begin_before()
            self.ran["AtOnce"] += 1
            self.heard = self.heard or int(self.is_welcomed)
            self.status, self.last, self.after_at = "occurred", at, at + AFTER
        elif self.before_at is not None and self.before_at <= now and not self.is_put_off:
            self.is_put_off = not self.confirmed
            if self.confirmed:
                self._begin_before()

    def _begin_before(self) -> None:
        if self.before_at is not None:
            self.before_at = None
            self.ran["HourBefore"] += 1

    def _follow_what_is_over(self, now: datetime, date: datetime) -> None:
        counts_again = self.status == "expired" and date >= now - LATE_LIMIT
        if (date > now or counts_again) and date != self.last:
            self.after_at = None
            self._arm(now)
            return
        self.at = date
        if self.status == "occurred":
            self.last = date
            self.after_at = self.after_at and date + AFTER

    def _move(self, now: datetime) -> None:
        had_come = self.at is not None and self.at <= now
        is_past = self.date is not None and self.date <= now
        if self.last is not None and (self.date == self.last or (is_past and not had_come)):
            self.status, self.at, self.before_at = "cancelled", self.date, None
            return
        has_begun = self.at is not None and self.before_at is None
        self._arm(now, owed=had_come)
        if has_begun:
            self.before_at = None

    def _arm(self, now: datetime, *, owed: bool = False) -> None:
        too_old = self.date is not None and self.date < now - LATE_LIMIT and not owed
        self.status, self.at, self.is_asleep = "expired" if too_old else "pending", self.date, False
        self.before_at = None if too_old or self.date is None else self.date + BEFORE
        self.is_put_off = False
