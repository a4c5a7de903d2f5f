"""What the tables show from outside: runs, their steps so far, and what is new since the last look."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from automation.events.models import Event, EventStatus
from automation.workflows.models import WorkflowAttempt, WorkflowRun
from bookings.models import Message, Reservation

__all__ = ["News", "Picture", "RunLine", "Watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that happened."""

    at: datetime
    who: str
    text: str
    is_trouble: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run, for people."""

    guest: str
    workflow: str
    status: str
    step: str
    """The latest that was tried; empty before the first."""
    until: datetime | None
    why: str
    """Without the time until when, which is `until`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything at one moment."""

    runs: tuple[RunLine, ...]
    news: tuple[News, ...]
    """What is new since the last picture, oldest first."""


class Watch:
    """Looks at the tables again and again, and remembers what it has told."""

    def __init__(self, guests: Mapping[str, str]) -> None:
        self._guests = guests
        self._told: set[object] = set()

    def look(self) -> Picture:
        """Return the picture now."""
        runs = list(WorkflowRun.objects.order_by("entity_id", "name"))
        attempts = list(WorkflowAttempt.objects.select_related("run").order_by("finished_at"))
        events = Event.objects.filter(status=EventStatus.OCCURRED)
        news = [_of_event(event) for event in events if self._is_new("event", event.pk)]
        news += [self._of_attempt(attempt) for attempt in attempts if self._is_new("attempt", attempt.pk)]
        news += [self._of_run(run) for run in runs if self._is_new("run", run.pk, run.status == "cancelled")]
        news += [_of_message(message) for message in Message.objects.order_by("pk") if self._is_new("mail", message.pk)]
        lines = tuple(self._line(run, [one for one in attempts if one.run_id == run.pk]) for run in runs)
        return Picture(runs=lines, news=tuple(sorted(news, key=lambda one: one.at)))

    def _is_new(self, *what: object) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True

    def _guest(self, run: WorkflowRun) -> str:
        return self._guests.get(run.entity_id, "?")

    def _of_attempt(self, attempt: WorkflowAttempt) -> News:
        is_trouble = attempt.outcome in {"retry", "exhausted", "fail", "lost"}
        text = f"{attempt.run.name}.{attempt.step}: {_told(attempt)}"
        return News(at=attempt.finished_at, who=self._guest(attempt.run), text=text, is_trouble=is_trouble)

    def _of_run(self, run: WorkflowRun) -> News:
        if run.status == "cancelled":
            return News(at=run.updated_at, who=self._guest(run), text=f"{run.name} is withdrawn: {run.why}")
        return News(at=run.created_at, who=self._guest(run), text=f"{run.name} is reserved")

    def _line(self, run: WorkflowRun, attempts: list[WorkflowAttempt]) -> RunLine:
        return RunLine(
            guest=self._guest(run),
            workflow=run.name,
            status=run.status,
            step=attempts[-1].step if attempts else "",
            until=run.wake_at if run.status == "waiting" else None,
            why=run.error.splitlines()[0] if run.error else run.why.partition(" until ")[0],
        )


def _told(attempt: WorkflowAttempt) -> str:
    detail = attempt.detail.strip().splitlines()[:1]
    return " ".join([attempt.outcome, *detail])


def _of_event(event: Event) -> News:
    entity = event.entity
    stay = entity if isinstance(entity, Reservation) else entity and entity.reservation
    return News(at=event.occurred_at, who=stay.guest if stay else "?", text=f"{event.event_name} occurs")


def _of_message(message: Message) -> News:
    return News(at=message.sent_at, who=message.guest, text=f"gets mail: {message.kind}")
