"""Which signal ends which wait. Every storage asks this one function, whatever it prefetches by index."""

from datetime import datetime

from automation.workflows.authoring.entities import EntityRef
from automation.workflows.authoring.payloads import JsonObject
from automation.workflows.authoring.results import EVENT_PREFIX, Any_, Wait
from automation.workflows.runs.values import Run, Signal, StandingWait

__all__ = ["entity_key", "matches", "standing_wait", "unaccepted", "user_key"]


def user_key(key: str) -> str:
    """Return the key of a wait that asks for signals with this `key=`."""
    return f"key:{key}"


def entity_key(entity: EntityRef) -> str:
    """Return the key of a wait that asks for this entity."""
    return f"entity:{entity.type}:{entity.id}"


def matches(signal: Signal, wait: StandingWait) -> bool:
    """Return whether a delivered signal ends a wait.

    The storage has made sure of two things: a signal with a `run_id` is looked at for that run only, and no signal that
    the run has consumed is looked at again.
    """
    if not wait.signal or signal.name != wait.signal or signal.position is None:
        return False
    if wait.sent_after is not None and signal.sent_at < wait.sent_after:
        return False
    if signal.run_id is not None:
        # To this run, and, where both name a key, about what it waits for.
        is_meant = signal.key is None or not wait.key or _is_addressed(signal, wait)
        return is_meant and signal.position > wait.run_after
    if _is_addressed(signal, wait):
        return signal.position > wait.addressed_after
    return _is_for_anybody(signal, wait) and signal.position > wait.broadcasts_after


def _is_addressed(signal: Signal, wait: StandingWait) -> bool:
    """It is about just what the wait asks for."""
    if signal.key is not None and wait.key == user_key(signal.key):
        return True
    return any(wait.key == entity_key(subject) for subject in signal.subjects)


def _is_for_anybody(signal: Signal, wait: StandingWait) -> bool:
    """The wait asks for nothing in particular, or only that it be about no *other* entity of the run's model."""
    if not wait.key:
        return True
    return bool(wait.entity_type) and all(subject.type != wait.entity_type for subject in signal.subjects)


def unaccepted(wait: StandingWait, payload: JsonObject | None) -> dict[str, str]:
    """Return the keys of a payload that the wait does not let into the Context, with the reason."""
    if wait.accept is None:
        return {}
    return {key: "the wait does not accept it" for key in payload or () if key not in wait.accept}


def standing_wait(run: Run, asked: Wait, *, now: datetime, position: int) -> StandingWait:
    """Return the wait that a run stands in once its step asked for it, without a deadline.

    `position` is the mailbox's, read just now.
    """
    key, entity_type = _asked_key(run, asked)
    broadcasts, addressed, own, sent_after = _bounds(run, asked, now, position)
    return StandingWait(
        signal=asked.signal,
        key=key,
        entity_type=entity_type,
        on_timeout=asked.on_timeout,
        then=asked.then,
        broadcasts_after=broadcasts,
        addressed_after=addressed,
        run_after=own,
        sent_after=sent_after,
        accept=asked.accept,
    )


def _asked_key(run: Run, asked: Wait) -> tuple[str, str]:
    match asked.entity:
        case EntityRef():
            return entity_key(asked.entity), ""
        case Any_():
            return "", ""
        case None:
            if asked.key is not None:
                return user_key(asked.key), ""
            if asked.signal.startswith(EVENT_PREFIX) and run.entity is not None:
                return entity_key(run.entity), run.entity.type
            return "", ""


def _bounds(run: Run, asked: Wait, now: datetime, position: int) -> tuple[int, int, int, datetime | None]:
    """Return the positions after which broadcasts, addressed signals and signals to this very run count, and a time."""
    match asked.since:
        case None:
            return run.visit_position, run.start_position, 0, None
        case "run":
            return run.start_position, run.start_position, 0, None
        case "now":
            return position, position, position, None
        case duration:
            return 0, 0, 0, now - duration
