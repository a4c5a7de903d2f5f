"""Who books what, and what happens to it, in seconds from the start. Days would do in life."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bookings.models import GuestDocument, Reservation

OVER = timedelta(seconds=13)
"""By then everything has had its time: nothing that must not happen can be said not to have happened before."""
FAR = 2 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Something that a person does to the data. Nothing here starts, wakes or processes anything."""

    at: timedelta
    who: str
    text: str
    act: Callable[[], object]


class Story:
    """Four guests: all goes well, papers never come, plans change, and a stay is called off."""

    def __init__(self, begins_at: datetime) -> None:
        self.begins_at = begins_at
        self.guests: dict[str, str] = {}
        """Names by primary key; kept for those whose reservation is gone."""
        self.reservations: dict[str, Reservation] = {}
        self._ahead = self._scenes()

    @property
    def is_told(self) -> bool:
        """All scenes have been played."""
        return not self._ahead

    def play(self, now: datetime) -> list[Scene]:
        """Play the scenes whose time has come; give them."""
        due = [scene for scene in self._ahead if self.begins_at + scene.at <= now]
        self._ahead = self._ahead[len(due) :]
        for scene in due:
            scene.act()
        return due

    def _scenes(self) -> list[Scene]:
        return [
            _scene(0, "Ada", "books: in after 8 s, out after 15 s", lambda: self._book("Ada", 8, 15)),
            _scene(0, "Ben", "books the same, and will never send his papers", lambda: self._book("Ben", 8, 15)),
            _scene(0, "Chloe", "books: in after 8 s, out in two days", lambda: self._book("Chloe", 8, FAR)),
            _scene(0, "Dan", "books: in after 10 s", lambda: self._book("Dan", 10, FAR)),
            _scene(1.5, "Chloe", "will be later: the check-in moves to 12 s", lambda: self._move("Chloe", 12)),
            _scene(2, "Dan", "does not come: the reservation is deleted", lambda: self._call_off("Dan")),
            _scene(7.5, "Ada", "sends her papers", lambda: self._send_papers("Ada")),
        ]

    def _after(self, seconds: float) -> datetime:
        return self.begins_at + timedelta(seconds=seconds)

    def _book(self, guest: str, checkin: float, checkout: float) -> None:
        dates = {"checkin_at": self._after(checkin), "checkout_at": self._after(checkout)}
        self.reservations[guest] = Reservation.objects.create(guest=guest, status="confirmed", **dates)
        self.guests[str(self.reservations[guest].pk)] = guest

    def _move(self, guest: str, checkin: float) -> None:
        self.reservations[guest].checkin_at = self._after(checkin)
        self.reservations[guest].save()

    def _call_off(self, guest: str) -> None:
        self.reservations[guest].delete()

    def _send_papers(self, guest: str) -> None:
        GuestDocument.objects.create(reservation=self.reservations[guest], file_name="passport.pdf")


def _scene(seconds: float, who: str, text: str, act: Callable[[], object]) -> Scene:
    return Scene(at=timedelta(seconds=seconds), who=who, text=text, act=act)
