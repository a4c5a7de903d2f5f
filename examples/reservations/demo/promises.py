"""What was promised, held against what is in the tables. Every sentence here is a row of the summary."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from automation.events.models import Event
from automation.workflows.models import WorkflowAttempt, WorkflowRun
from bookings.models import Message
from demo.story import Story

__all__ = ["Verdict", "verdicts"]

PUNCTUAL = timedelta(seconds=3)
"""A timer may be about one second late on an idle machine; the demo is also run on busy ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One promise, whether it is kept as things stand, and the figure that tells."""

    promise: str
    is_kept: bool
    seen: str


def verdicts(story: Story) -> list[Verdict]:
    """Judge every promise now. Those about what must not happen count only when the story is over."""
    return [Verdict(promise=promise, is_kept=kept, seen=seen) for promise, kept, seen in _judged(story)]


def _judged(story: Story) -> Iterator[tuple[str, bool, str]]:
    for judge in _JUDGES:
        yield (judge.__doc__ or "", *judge(story))


def _welcome(story: Story) -> tuple[bool, str]:
    """The immediate event called its callback once for each guest"""
    sent = {guest: Message.objects.filter(kind="welcome", guest=guest).count() for guest in story.guests.values()}
    return set(sent.values()) == {1}, ", ".join(f"{guest} {count}" for guest, count in sent.items())


def _before_the_event(story: Story) -> tuple[bool, str]:
    """The negative offset ran before its event, on time, once"""
    early = [_reminder_before_checkin(story, guest) for guest in ("Ada", "Ben")]
    return _about_five_seconds(early), _seconds_before(early)


def _follows_the_edit(story: Story) -> tuple[bool, str]:
    """Chloe's reminder followed the edit of her check-in"""
    early = [_reminder_before_checkin(story, "Chloe")]
    return _about_five_seconds(early), _seconds_before(early)


def _withdrawn(story: Story) -> tuple[bool, str]:
    """Dan's deleted stay withdrew what was planned for it"""
    mails = Message.objects.filter(guest="Dan").exclude(kind="welcome").count()
    ended = [run.status for run in _runs(story, "Dan")]
    return bool(ended) and set(ended) == {"cancelled"} and not mails, f"{', '.join(ended)}; {mails} mails"


def _on_time(story: Story) -> tuple[bool, str]:
    """The scheduled events occurred at their dates"""
    late = [
        event.occurred_at - event.at
        for event in Event.objects.filter(event_name="checkin_due")
        if event.occurred_at and event.at
    ]
    seen = ", ".join(f"{one.total_seconds():.1f} s late" for one in late)
    return len(late) == 3 and all(timedelta(0) <= one < PUNCTUAL for one in late), seen


def _woken(story: Story) -> tuple[bool, str]:
    """Ada's papers woke the run about her, and no other"""
    visits = _visited(story, "Ada", "await_docs"), _visited(story, "Ada", "fallback_docs")
    return visits == (2, 0), _path(story, "Ada")


def _timed_out(story: Story) -> tuple[bool, str]:
    """Ben's run timed out and took the other way"""
    visits = _visited(story, "Ben", "await_docs"), _visited(story, "Ben", "fallback_docs")
    return visits == (1, 1), _path(story, "Ben")


def _slept(story: Story) -> tuple[bool, str]:
    """Both slept for two seconds"""
    slept = [_between(story, guest, "let_guest_pack", "notify_housekeeping") for guest in ("Ada", "Ben")]
    kept = all(one is not None and timedelta(seconds=2) <= one < timedelta(seconds=2) + PUNCTUAL for one in slept)
    return kept, ", ".join(f"{one.total_seconds():.1f} s" for one in slept if one is not None)


def _retried(story: Story) -> tuple[bool, str]:
    """Both failed once, tried again, and told housekeeping once"""
    outcomes = [
        list(_attempts(story, guest).filter(step="notify_housekeeping").values_list("outcome", flat=True))
        for guest in ("Ada", "Ben")
    ]
    told = [Message.objects.filter(kind="housekeeping", guest=guest).count() for guest in ("Ada", "Ben")]
    return outcomes == [["retry", "goto"]] * 2 and told == [1, 1], "; ".join(", ".join(one) for one in outcomes)


def _completed(story: Story) -> tuple[bool, str]:
    """Both completed before the check-out that they were about"""
    runs = [run for guest in ("Ada", "Ben") for run in _runs(story, guest, "checkout_ops")]
    left = [run.event_at - run.finished_at for run in runs if run.status == "completed"]
    return len(left) == 2 and all(one > timedelta(0) for one in left), _seconds_before(left)


def _still_says_why(story: Story) -> tuple[bool, str]:
    """Chloe's check-out run has not begun, and says why and until when"""
    runs = _runs(story, "Chloe", "checkout_ops")
    waiting = [run for run in runs if run.status == "waiting" and run.wake_at and run.why]
    return len(runs) == len(waiting) == 1, ", ".join(f"{run.why}, until {run.wake_at:%d %b %H:%M}" for run in waiting)


_JUDGES: tuple[Callable[[Story], tuple[bool, str]], ...] = (
    _welcome,
    _before_the_event,
    _follows_the_edit,
    _withdrawn,
    _on_time,
    _woken,
    _timed_out,
    _slept,
    _retried,
    _completed,
    _still_says_why,
)


def _runs(story: Story, guest: str, workflow: str | None = None) -> list[WorkflowRun]:
    pk = next((pk for pk, name in story.guests.items() if name == guest), "")
    runs = WorkflowRun.objects.filter(entity_type="bookings.reservation", entity_id=pk).order_by("created_at")
    return list(runs.filter(name=workflow) if workflow else runs)


def _attempts(story: Story, guest: str):
    runs = _runs(story, guest, "checkout_ops")
    return WorkflowAttempt.objects.filter(run__in=[run.pk for run in runs]).order_by("finished_at")


def _visited(story: Story, guest: str, step: str) -> int:
    return _attempts(story, guest).filter(step=step).values("visit").distinct().count()


def _path(story: Story, guest: str) -> str:
    return " → ".join(_attempts(story, guest).values_list("step", flat=True))


def _between(story: Story, guest: str, first: str, second: str) -> timedelta | None:
    ended = _attempts(story, guest).filter(step=first).first()
    began = _attempts(story, guest).filter(step=second).first()
    return began.started_at - ended.finished_at if ended and began else None


def _reminder_before_checkin(story: Story, guest: str) -> timedelta | None:
    sent = list(Message.objects.filter(kind="reminder", guest=guest))
    return story.reservations[guest].checkin_at - sent[0].sent_at if len(sent) == 1 else None


def _about_five_seconds(early: list[timedelta | None]) -> bool:
    promised = timedelta(seconds=5)
    return all(one is not None and timedelta(0) < one <= promised and promised - one < PUNCTUAL for one in early)


def _seconds_before(durations: list[timedelta | None]) -> str:
    return ", ".join("not yet" if one is None else f"{one.total_seconds():.1f} s before" for one in durations)
