"""The story of a run in a few lines, as a failing test shows it."""

from collections.abc import Iterator
from typing import Any

from automation.testing.contexts import left_out
from automation.testing.event_stories import clock_time, moment
from automation.testing.history import attempts_of, signals_nobody_took, signals_taken

__all__ = ["run_story"]

_SHOWN = 40
"""Of the attempts: what came of it is at the end."""
_SHOWN_SIGNALS = 5
"""Of the signals: those that came last."""


def run_story(run: Any) -> str:
    """Return what a run is, why it does not move, each attempt with its time, and what became of signals."""
    return "\n".join([_headline(run), *_indented(_standstill(run)), *_indented(_past(run)), *_indented(_signals(run))])


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
        yield f"until {moment(run.wake_at)}{after}"
    if run.claim_expires_at is not None:
        yield f"a worker has it until {moment(run.claim_expires_at)}"
    if run.error:
        yield f"error: {run.error.strip()}"
    if run.data is not None:
        yield f"context: {run.data}"


def _past(run: Any) -> Iterator[str]:
    yield f"{clock_time(run.created_at)}  created"
    attempts = attempts_of(run.id)
    if len(attempts) > _SHOWN:
        yield f"... {len(attempts) - _SHOWN} attempts, and then"
    for attempt in attempts[-_SHOWN:]:
        number = f" (attempt {attempt.number})" if attempt.number > 1 else ""
        first_line = "".join(attempt.detail.strip().splitlines()[:1])
        yield f"{clock_time(attempt.finished_at)}  {attempt.step}{number}: {attempt.outcome} {first_line}".rstrip()


def _signals(run: Any) -> Iterator[str]:
    taken = signals_taken(run.id)
    if len(taken) > _SHOWN_SIGNALS:
        yield f"... {len(taken) - _SHOWN_SIGNALS} signals, and then"
    for signal in taken[-_SHOWN_SIGNALS:]:
        refused = left_out(run, signal)
        listed = ", ".join(f"{name} ({reason})" for name, reason in refused.items())
        yield f"woken by signal {signal.name!r}{f', left out: {listed}' if listed else ''}"
    if taken and _is_waiting_again(run, taken[-1]):
        yield f"and waits for {taken[-1].name!r} again, having merged nothing of it: a woken run re-enters its step."
        yield f"Write wait({taken[-1].name!r}, then=self.next_step), or look at get_wake() first."
    if run.wait is not None and run.wait.signal:
        yield from _left_lying(run)


def _is_waiting_again(run: Any, signal: Any) -> bool:
    if run.wait is None or run.wait.signal != signal.name:
        return False
    last = attempts_of(run.id)[-2:]
    is_renewed = len(last) == 2 and len({(one.step, str(one.outcome), one.detail) for one in last}) == 1
    merged = ((signal.payload or {}).keys() & (run.data or {}).keys()) - left_out(run, signal).keys()
    return is_renewed and str(last[-1].outcome) == "wait" and not merged


def _left_lying(run: Any) -> Iterator[str]:
    """Tell of signals that may have been meant for this wait: events are named by the project, and seldom misspelt.

    The ends of children are for their parent alone, which counts them and takes none.
    """
    others = [
        signal
        for signal in signals_nobody_took(run.created_at)
        if not signal.name.startswith("children:")
        and (signal.name == run.wait.signal or not signal.name.startswith("event:"))
    ]
    for signal in others[-_SHOWN_SIGNALS:]:
        to = f" to run {signal.run_id}" if signal.run_id is not None else ""
        key = f" with key {signal.key!r}" if signal.key is not None else ""
        yield f"nobody took signal {signal.name!r}{key}{to}, sent at {clock_time(signal.sent_at)}"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield "  " + line.replace("\n", "\n  ")
