"""The story of a run or an event in a few lines, as a failing test shows it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from automation.testing.history import attempts_of

__all__ = ["call_story", "event_story", "run_story"]

_SHOWN = 40
"""Of the attempts: what came of it is at the end."""


def run_story(run: Any) -> str:
    """Return what a run is, why it does not move, and each attempt with its time."""
    return "\n".join([_headline(run), *_indented(_standstill(run)), *_indented(_past(run))])


def event_story(event: Any) -> str:
    """Return what an event is and why it does not move."""
    lines = [f"{event.event_name} of {event.entity_type}:{event.entity_id} is {event.status.upper()}"]
    if event.at is not None:
        lines.append(f"  at {_when(event.at)}")
    lines += [f"  {label}: {text}" for label, text in (("why", event.why), ("error", event.error)) if text]
    return "\n".join(lines)


def call_story(delivery: Any) -> str:
    """Return which call is owed or was made, how often it was tried, when it is next, and why it does not move."""
    event = delivery.event
    parts = [f"for {event.event_name} of {event.entity_type}:{event.entity_id} is {delivery.status.upper()}"]
    parts += [f"tried {delivery.attempts} time(s)"] if delivery.attempts else []
    parts += [f"next at {_when(delivery.next_at)}"] if delivery.next_at is not None else []
    parts += [text for text in (delivery.why, delivery.error.strip().splitlines()[0] if delivery.error else "") if text]
    return ", ".join(parts)


def _headline(run: Any) -> str:
    about = f" about {run.entity}" if run.entity else ""
    return f"{run.name} {run.id}{about} is {run.status.upper()} at step {run.current_step!r}"


def _standstill(run: Any) -> Iterator[str]:
    if run.why:
        yield f"why: {run.why}"
    if run.wait is not None and run.wait.signal:
        key = f" with {run.wait.key}" if run.wait.key else ""
        yield f"waits for the signal {run.wait.signal!r}{key}"
    if run.wake_at is not None:
        target = run.wait.on_timeout if run.wait is not None and run.wait.on_timeout else "the same step"
        after = f", then goes to {target}" if run.wait is not None and run.wait.signal else ""
        yield f"until {_when(run.wake_at)}{after}"
    if run.claim_expires_at is not None:
        yield f"a worker has it until {_when(run.claim_expires_at)}"
    if run.error:
        yield f"error: {run.error.strip()}"
    if run.data is not None:
        yield f"context: {run.data}"


def _past(run: Any) -> Iterator[str]:
    yield f"{_clock(run.created_at)}  created"
    attempts = attempts_of(run.id)
    if len(attempts) > _SHOWN:
        yield f"... {len(attempts) - _SHOWN} attempts, and then"
    for attempt in attempts[-_SHOWN:]:
        number = f" (attempt {attempt.number})" if attempt.number > 1 else ""
        first_line = attempt.detail.strip().splitlines()[:1]
        yield f"{_clock(attempt.finished_at)}  {attempt.step}{number}: {attempt.outcome} {''.join(first_line)}".rstrip()


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield "  " + line.replace("\n", "\n  ")


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _when(at: datetime) -> str:
    ahead = at - datetime.now(UTC)
    distance = f"in {ahead}" if ahead.total_seconds() >= 0 else f"{-ahead} ago"
    return f"{_clock(at)} UTC ({distance})"
