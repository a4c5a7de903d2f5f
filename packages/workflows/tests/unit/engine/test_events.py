"""Runs that events plan, move, call off and start."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from automation.workflows.authoring.registry import registry
from automation.workflows.core import (
    EntityRef,
    Retry,
    WorkflowStatus,
    complete,
    event_workflow,
    get_context,
    get_wake,
    step,
    wait,
    workflow,
)
from automation.workflows.engine.faults import injected, uninstall
from automation.workflows.errors import NotConfigured
from automation.workflows.ports import EventsAway, Occurrence, Snapshot
from automation.workflows.runs.values import AttemptOutcome, Run
from tests.unit.world import START, Queue, World

ENTITY = EntityRef(type="bookings.reservation", id="7")


class Booking:
    """An event as user code sees it."""

    def __init__(self, occurrence: Occurrence) -> None:
        self.event_name = occurrence.name
        self.entity_id = occurrence.entity.id
        self.entity_type = occurrence.entity.type
        self.id = occurrence.id


class Events:
    """The Occurrences port: events as this test says they are."""

    def __init__(self) -> None:
        self.known: dict[str, Snapshot] = {}
        self.looked_at = 0

    def put(self, occurrence: Occurrence, *, occurred: bool = False, ended: bool = False, valid: bool = True) -> None:
        self.known[occurrence.id] = Snapshot(
            occurrence=occurrence, event=Booking(occurrence), occurred=occurred, ended=ended, valid=valid
        )

    def describe(self, event: Any) -> Occurrence:
        return self.known[event.id].occurrence

    def snapshot(self, occurrence_id: str) -> Snapshot | None:
        self.looked_at += 1
        return self.known.get(occurrence_id)


@pytest.fixture
def events(world: World) -> Events:
    known = Events()
    world.wiring.occurrences = known
    return known


def occurrence(at: datetime | None, number: str = "1", **changes: Any) -> Occurrence:
    given: dict[str, Any] = {"id": number, "name": "checkin_due", "entity": ENTITY, "at": at, **changes}
    return Occurrence(**given)


def reminder(log: list[Any] | None = None, **options: Any) -> None:
    """Define a workflow that an event starts and that is done at once."""
    noted: list[Any] = [] if log is None else log

    @event_workflow("checkin_due", **options)
    class Reminder:
        class Context(BaseModel):
            entity_id: str

        @step(start=True)
        def run(self):
            noted.append(get_wake())
            return complete()


def the_run(world: World) -> Run:
    (run,) = world.storage.runs()
    return run


def test_a_negative_offset_really_runs_before_the_event(world: World, events: Events) -> None:
    log: list[Any] = []
    reminder(log, offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead)

    world.engine.plan([ahead])
    run = the_run(world)
    assert (run.status, run.wake_at, run.data, run.why) == (
        WorkflowStatus.WAITING,
        START + timedelta(hours=2),
        None,
        "not begun",
    )
    world.advance(hours=1, minutes=59)
    assert log == []
    world.advance(minutes=1)

    assert world.status(run) is WorkflowStatus.COMPLETED
    assert world.data(run) == {"entity_id": "7"}
    assert log[0].late == timedelta(0)


def test_a_start_that_an_older_version_has_reserved_begins_with_the_one_that_takes_it_over(
    world: World, events: Events
) -> None:
    reminder(name="reminder", offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead)
    world.engine.plan([ahead])
    registry._versions.clear()
    reminder(name="reminder", offset_minutes=-60, version="2", upgrades=("1",))

    world.advance(hours=2)

    run = the_run(world)
    assert (run.status, run.version, run.data) == (WorkflowStatus.COMPLETED, "2", {"entity_id": "7"})


def test_plan_is_idempotent(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    for _ in range(3):
        world.engine.plan([ahead])

    assert len(world.storage.runs()) == 1


def test_a_positive_offset_runs_after_the_event(world: World, events: Events) -> None:
    reminder(offset_minutes=30)
    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.plan([now])
    assert world.storage.runs() == []

    world.engine.occurred([now])
    run = the_run(world)
    assert (run.status, run.wake_at) == (WorkflowStatus.WAITING, START + timedelta(minutes=30))
    world.advance(minutes=30)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_an_occurrence_announced_twice_starts_once(world: World, events: Events) -> None:
    log: list[Any] = []
    reminder(log)
    now = occurrence(START)
    events.put(now, occurred=True)
    for _ in range(2):
        world.engine.occurred([now])
        world.engine.handle_event_occurred(Booking(now))

    assert len(world.storage.runs()) == 1
    assert len(log) == 1


def test_handle_event_occurred_gives_the_runs(world: World, events: Events) -> None:
    reminder()
    now = occurrence(START)
    events.put(now, occurred=True)

    runs = world.engine.handle_event_occurred(Booking(now))

    assert [run.id for run in runs] == [the_run(world).id]
    assert runs[0].name == "checkin_due.Reminder"
    assert [run.id for run in world.engine.handle_event_occurred(Booking(now))] == [runs[0].id]


@pytest.mark.parametrize(("hours", "wake"), [(5, 4), (1, 0)])
def test_a_reserved_start_follows_the_date(world: World, events: Events, hours: int, wake: int) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    world.engine.plan([ahead])
    moved = replace(ahead, at=START + timedelta(hours=hours))
    events.put(moved)

    world.engine.move([moved])

    run = the_run(world)
    assert run.wake_at == START + timedelta(hours=wake) or run.status is WorkflowStatus.COMPLETED
    world.advance(hours=wake)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_date_moved_by_nobodys_save_never_begins_early(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    world.engine.plan([ahead])
    events.put(replace(ahead, at=START + timedelta(hours=9)))

    world.advance(hours=2)
    run = the_run(world)
    assert (run.status, run.wake_at) == (WorkflowStatus.WAITING, START + timedelta(hours=8))
    world.advance(hours=6)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_withdraw_cancels_what_has_not_begun(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    world.engine.plan([ahead])

    world.engine.withdraw([ahead], "deleted")

    assert (the_run(world).status, the_run(world).why) == (WorkflowStatus.CANCELLED, "deleted")


def test_a_condition_that_does_not_hold_puts_off_and_a_later_move_begins(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead, valid=False)
    world.engine.plan([ahead])
    world.advance(hours=2)

    run = the_run(world)
    assert (run.status, run.next_at, run.has_begun) == (WorkflowStatus.WAITING, None, False)
    assert "the condition of its event does not hold" in run.why
    assert world.storage.attempts(run.id) == []

    events.put(ahead, valid=True)
    world.engine.move([ahead])
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_an_event_that_occurs_before_its_start_has_begun_begins_it(world: World, events: Events) -> None:
    log: list[Any] = []
    reminder(log, offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead, valid=False)
    world.engine.plan([ahead])
    world.advance(hours=3)
    events.put(ahead, occurred=True, valid=False)

    world.engine.occurred([ahead])

    assert world.status(the_run(world)) is WorkflowStatus.COMPLETED
    assert log[0].late == timedelta(hours=1)
    world.engine.occurred([ahead])
    assert len(world.storage.runs()) == 1


def test_first_armed_after_its_own_time_it_begins_at_the_occurrence(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    past = occurrence(START - timedelta(minutes=1))
    events.put(past)
    world.engine.plan([past])
    world.sweep()
    assert the_run(world).status is WorkflowStatus.WAITING

    events.put(past, occurred=True)
    world.engine.occurred([past])

    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_an_offset_that_has_passed_while_the_date_is_ahead_starts_at_once(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    soon = occurrence(START + timedelta(minutes=10))
    events.put(soon)

    world.engine.plan([soon])

    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_a_negative_offset_that_was_never_planned_begins_at_the_occurrence(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    now = occurrence(None)
    events.put(now, occurred=True)

    world.engine.occurred([now])

    assert the_run(world).status is WorkflowStatus.COMPLETED


@pytest.mark.parametrize("how", ["gone", "ended"])
def test_a_start_whose_event_is_gone_is_cancelled_with_the_reason(world: World, events: Events, how: str) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    if how == "ended":
        events.put(ahead, ended=True)
    world.engine.plan([ahead])
    world.advance(hours=2)

    run = the_run(world)
    assert run.status is WorkflowStatus.CANCELLED
    assert run.why == {"gone": "its event is gone", "ended": "its event ended without occurring"}[how]


def test_user_code_is_not_called_inside_the_users_save(world: World, events: Events) -> None:
    world.with_queue()
    reminder()
    now = occurrence(START)
    events.put(now, occurred=True)
    with world.storage.transaction():
        world.engine.occurred([now])

    assert events.looked_at == 0
    assert the_run(world).data is None


def test_should_run_for_event_declines(world: World, events: Events) -> None:
    @event_workflow("checkin_due")
    class Picky:
        class Context(BaseModel):
            entity_id: str

        @classmethod
        def should_run_for_event(cls, event):
            return event.entity_id != "7"

        @step(start=True)
        def run(self):
            return complete()

    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.occurred([now])

    run = the_run(world)
    assert (run.status, run.why) == (WorkflowStatus.CANCELLED, "should_run_for_event declined it")


@pytest.mark.parametrize("hook", ["create_context", "should_run_for_event"])
def test_a_hook_that_raises_is_tried_again_then_fails_visibly_and_retry_begins_again(
    world: World, events: Events, hook: str
) -> None:
    broken = [True]

    class Hooked:
        class Context(BaseModel):
            n: int = 1

        @step(start=True)
        def run(self):
            return complete()

    def raising(cls: Any, event: Any = None) -> Any:
        if broken[0]:
            raise LookupError("no such guest")
        return cls.Context(n=2) if hook == "create_context" else True

    setattr(Hooked, hook, classmethod(raising))
    event_workflow("checkin_due")(Hooked)
    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.occurred([now])

    run = the_run(world)
    assert (run.status, run.attempt) == (WorkflowStatus.WAITING, 1)
    assert "after LookupError: no such guest" in run.why
    world.advance(seconds=1)
    world.advance(seconds=2)
    run = the_run(world)
    assert (run.status, run.attempt) == (WorkflowStatus.FAILED, 3)
    assert run.error.startswith("LookupError: no such guest")
    broken[0] = False
    world.engine.retry(run.id)
    assert world.status(run) is WorkflowStatus.COMPLETED


def test_a_failed_first_attempt_of_a_reserved_start_is_begun_and_no_longer_moves(world: World, events: Events) -> None:
    @event_workflow("checkin_due", offset_minutes=-60)
    class Flaky:
        class Context(BaseModel):
            entity_id: str

        @step(start=True)
        def run(self):
            raise RuntimeError

    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead)
    world.engine.plan([ahead])
    world.advance(hours=2)
    run = the_run(world)
    world.engine.withdraw([ahead], "deleted")

    assert run.has_begun
    assert world.status(run) is WorkflowStatus.WAITING


def a_model(label: str, *, proxied_as: str | None = None) -> type:
    """Give what the engine reads of a Django model: it knows no more of them."""
    concrete = type(label, (), {"_meta": SimpleNamespace(label_lower=label, abstract=False)})
    meta = SimpleNamespace(label_lower=proxied_as or label, abstract=False, concrete_model=concrete)
    return type(meta.label_lower, (), {"_meta": meta})


@pytest.mark.parametrize(
    ("wanted", "starts"),
    [
        ("*", True),
        ("reservation", True),
        ("bookings.reservation", True),
        ("Reservation", True),
        ("guest", False),
        ("other.reservation", False),
        (a_model("bookings.reservation"), True),
        (a_model("bookings.reservation", proxied_as="bookings.vipreservation"), True),
        (a_model("bookings.guest"), False),
    ],
    ids=str,
)
def test_entity_type_filters(world: World, events: Events, wanted: Any, starts: bool) -> None:
    reminder(entity_type=wanted)
    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.occurred([now])

    assert bool(world.storage.runs()) is starts


def test_two_workflows_on_one_event_both_run(world: World, events: Events) -> None:
    reminder()
    reminder(name="another")
    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.occurred([now])

    assert sorted(run.name for run in world.storage.runs()) == ["another", "checkin_due.Reminder"]


def test_a_reserved_start_that_is_paused_stays_where_it_is_and_goes_on_when_resumed(
    world: World, events: Events
) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead)
    world.engine.plan([ahead])
    world.engine.pause(the_run(world).id)
    world.engine.resume(the_run(world).id)
    assert (the_run(world).status, the_run(world).why) == (WorkflowStatus.WAITING, "not begun")
    world.engine.pause(the_run(world).id)
    world.advance(hours=5)
    assert the_run(world).status is WorkflowStatus.PAUSED

    world.engine.resume(the_run(world).id)

    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_without_a_bridge_the_engine_says_what_to_install(world: World) -> None:
    with pytest.raises(NotConfigured, match=r"nothing here knows events. Add 'automation.bridge' to INSTALLED_APPS"):
        world.engine.handle_event_occurred(object())


def test_starts_in_one_save_are_stored_in_one_call(
    world: World, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.with_queue()
    for number in range(5):
        reminder(name=f"w{number}", offset_minutes=-number - 1)
    calls: list[int] = []
    real = world.storage.plans.reserve
    monkeypatch.setattr(world.storage.plans, "reserve", lambda runs: calls.append(len(runs)) or real(runs))

    world.engine.plan([occurrence(START + timedelta(hours=3), str(number)) for number in range(3)])

    assert calls == [15]


def test_a_date_that_was_cleared_and_set_again_plans_anew(world: World, events: Events) -> None:
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    world.engine.plan([ahead])
    world.engine.withdraw([ahead], "disarmed")
    again = replace(ahead, generation=2, at=START + timedelta(hours=4))
    events.put(again)
    world.engine.plan([again])
    world.advance(hours=3)

    assert [run.status for run in world.storage.runs()] == ["cancelled", "completed"]


def test_a_start_on_its_way_to_a_worker_is_called_off_when_its_date_is_cleared(world: World, events: Events) -> None:
    queue = world.with_queue()
    log: list[Any] = []
    reminder(log, offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead)
    world.engine.plan([ahead])
    world.advance(hours=2)
    assert the_run(world).status is WorkflowStatus.READY

    world.engine.withdraw([ahead], "disarmed")
    events.put(replace(ahead, generation=2, at=None))
    world.engine.execute_step(queue.given[-1][0])

    assert the_run(world).status is WorkflowStatus.CANCELLED
    assert "lost the date" in the_run(world).why
    assert log == []


def works_off(world: World, queue: Queue, **duration: float) -> None:
    """Let time pass, and a worker take each hint at its second."""
    until = world.clock.at + timedelta(**duration)
    while world.clock.at <= until:
        due = [hint for hint in queue.given if hint[1] is None or hint[1] <= world.clock.at]
        queue.given = [hint for hint in queue.given if hint not in due]
        for run_id, _ in due:
            world.engine.execute_step(run_id)
        world.clock.at += timedelta(seconds=1)


def fails(events: Events, error: Exception, while_: Callable[[], bool]) -> None:
    """Have the reading of an event raise, for as long as that holds."""
    real = events.snapshot

    def snapshot(occurrence_id: str) -> Snapshot | None:
        found = real(occurrence_id)
        if while_():
            raise error
        return found

    events.snapshot = snapshot  # type: ignore[method-assign]


def away(text: str) -> EventsAway:
    """Return what an adapter raises whose database does not answer."""
    error = EventsAway("the events are away")
    error.__cause__ = OSError(text)
    return error


@pytest.mark.parametrize("offset", [0, -60], ids=["at its event", "ahead of its event"])
def test_a_database_of_events_that_is_away_for_an_hour_costs_time_alone(
    world: World, events: Events, offset: int
) -> None:
    queue = world.with_queue()
    log: list[Any] = []
    reminder(log, offset_minutes=offset)
    ahead = occurrence(START + timedelta(minutes=-offset))
    events.put(ahead, occurred=not offset)
    back = START + timedelta(hours=1)
    fails(events, away("connection refused\n\tIs the server running?"), lambda: world.clock.at < back)
    world.engine.plan([ahead])
    if not offset:
        world.engine.occurred([ahead])
    world.sweep()
    queue.given = [(the_run(world).id, None)]

    works_off(world, queue, minutes=59)
    run = the_run(world)
    assert (run.status, run.lost_claims, run.wake_at) == (WorkflowStatus.WAITING, 0, START)
    assert run.next_at is not None
    assert run.why == (
        "not begun: its event cannot be read (OSError: connection refused Is the server running?); "
        f"looked at again at {run.next_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    assert 50 <= events.looked_at <= 70, "a second after the first failure, then later each time, at most a claim later"

    works_off(world, queue, minutes=3)
    assert the_run(world).status is WorkflowStatus.COMPLETED
    assert world.history(run) == [("run", AttemptOutcome.COMPLETE)]
    assert timedelta(hours=1) <= log[0].late <= timedelta(minutes=62)


def test_a_database_of_events_that_blinks_costs_a_start_a_second(world: World, events: Events) -> None:
    queue = world.with_queue()
    reminder()
    now = occurrence(START)
    events.put(now, occurred=True)
    fails(events, away("the server closed the connection"), lambda: events.looked_at == 1)
    world.engine.occurred([now])

    works_off(world, queue, seconds=2)
    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_starts_of_a_herd_whose_events_cannot_be_read_do_not_come_again_at_one_moment(
    world: World, events: Events
) -> None:
    queue = world.with_queue()
    reminder()
    fails(events, away("connection refused"), lambda: True)
    world.engine.occurred([occurrence(START, number=str(number)) for number in range(20)])
    for run_id, _ in list(queue.given):
        world.engine.execute_step(run_id)

    assert len({again_at for _, again_at in queue.given if again_at is not None}) == 20


def test_an_event_that_occurs_while_it_cannot_be_read_has_its_start_looked_at_at_once(
    world: World, events: Events
) -> None:
    queue = world.with_queue()
    reminder(offset_minutes=-60)
    ahead = occurrence(START + timedelta(hours=1))
    events.put(ahead)
    is_away = [True]
    fails(events, away("connection refused"), lambda: bool(is_away))
    world.engine.plan([ahead])
    world.sweep()
    works_off(world, queue, minutes=30)
    assert the_run(world).status is WorkflowStatus.WAITING

    is_away.clear()
    queue.given.clear()
    events.put(ahead, occurred=True)
    world.engine.occurred([ahead])
    works_off(world, queue, seconds=0)
    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_an_event_that_changes_just_when_it_cannot_be_read_is_looked_at_again_at_once(
    world: World, events: Events
) -> None:
    reminder()
    now = occurrence(START)
    events.put(now, occurred=True)
    world.with_queue()
    world.engine.occurred([now])
    fails(events, away("connection refused"), lambda: events.looked_at == 1)

    def changes() -> None:
        uninstall("finish.before_apply")
        world.engine.occurred([now])
        world.engine.move([now])

    with injected("finish.before_apply", changes):
        world.engine.execute_step(the_run(world).id)

    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_a_reader_of_events_that_is_broken_ends_its_starts_visibly(world: World, events: Events) -> None:
    """What is no outage does not end by itself."""
    queue = world.with_queue()
    reminder()
    now = occurrence(START)
    events.put(now, occurred=True)
    fails(events, AttributeError("no such column of ours"), lambda: True)
    world.engine.occurred([now])

    works_off(world, queue, minutes=5)
    run = the_run(world)
    assert run.status is WorkflowStatus.FAILED
    assert "came to no end 5 times" in run.error
    assert "AttributeError: no such column of ours" in run.error
    assert events.looked_at == 5


def test_a_start_by_an_event_without_a_bridge_fails_visibly(world: World, events: Events) -> None:
    world.with_queue()
    reminder()
    world.engine.occurred([occurrence(START)])
    world.wiring.occurrences = None
    world.engine.execute_step(the_run(world).id)

    assert the_run(world).status is WorkflowStatus.FAILED
    assert "Add 'automation.bridge' to INSTALLED_APPS" in the_run(world).error


def test_the_deadline_of_a_reserved_start_counts_from_when_it_begins(world: World, events: Events) -> None:
    @event_workflow("checkin_due", offset_minutes=-60, deadline=timedelta(minutes=10))
    class Bounded:
        class Context(BaseModel):
            entity_id: str

        @step(start=True)
        def run(self):
            return wait("x")

    ahead = occurrence(START + timedelta(hours=3))
    events.put(ahead)
    world.engine.plan([ahead])
    world.advance(hours=2)
    run = the_run(world)
    assert (run.status, run.deadline_at) == (WorkflowStatus.WAITING, START + timedelta(hours=2, minutes=10))

    world.advance(minutes=10)
    assert world.status(run) is WorkflowStatus.FAILED


def test_a_first_attempt_that_keeps_no_context_leaves_the_start_begun(world: World, events: Events) -> None:
    @event_workflow("checkin_due")
    class Flaky:
        class Context(BaseModel):
            entity_id: str
            tries: int = 0

        @step(start=True, retry=Retry(keep_context=False))
        def run(self):
            get_context().tries += 1
            raise RuntimeError

    stored: list[Any] = []
    real = world.storage.apply

    def watched(transitions: Any) -> None:
        stored.extend((move.before.data, move.after.data) for move in transitions if move.cause == "Retrying")
        real(transitions)

    world.storage.apply = watched  # type: ignore[method-assign]
    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.occurred([now])

    assert the_run(world).data == {"entity_id": "7", "tries": 0}
    assert stored[0][0] is not stored[0][1], "a storage that compares by identity would leave the row without a Context"


def test_a_start_that_begins_inside_another_step_does_not_lend_it_its_verbs(world: World, events: Events) -> None:
    """A step without a transaction saves a model; without a queue, what that sets off begins at once, in its thread."""
    world.with_queue()

    @event_workflow("checkin_due")
    class SetOff:
        class Context(BaseModel):
            entity_id: str

        @classmethod
        def create_context(cls, event):
            world.engine.signal("from the hook")
            return cls.Context(entity_id=event.entity_id)

        @step(start=True)
        def run(self):
            return complete()

    @workflow("saver", default_retry=Retry(max_attempts=1))
    class Saver:
        class Context(BaseModel):
            pass

        @step(start=True, atomic=False)
        def run(self):
            world.engine.execute_step(begins.id)
            raise RuntimeError("the outer step fails, the inner one is done")

    now = occurrence(START)
    events.put(now, occurred=True)
    world.engine.occurred([now])
    begins = the_run(world)
    outer = world.engine.start("saver")
    world.engine.execute_step(outer.id)

    assert [world.status(begins), world.status(outer)] == ["completed", "failed"]
    assert "from the hook" in [signal.name for signal in world.storage.signals()]
