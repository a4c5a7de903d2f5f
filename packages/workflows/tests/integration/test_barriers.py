"""Every pair of operations that can meet at a run, in both orders, the second running into the first one's locks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from automation.workflows.core import engine
from automation.workflows.engine.claiming import Claim
from automation.workflows.engine.faults import fault
from automation.workflows.engine.finishing import Turn
from automation.workflows.engine.keys import keyed_run_id
from automation.workflows.errors import ClaimLost
from automation.workflows.models import WorkflowReceipt, WorkflowRun, WorkflowSignal, WorkflowStatus
from automation.workflows.ports import Occurrence, wiring
from automation.workflows.retention import cleanup
from automation.workflows.retriggering import retrigger, withdraw_untriggered
from automation.workflows.runs.children import children_signal, ended_signal
from automation.workflows.runs.values import Run
from tests.integration.barriers import Actor, fault_points
from tests.integration.conftest import Heap, ParcelEvents, StillClock
from tests.parcelapp.models import Entry, Parcel

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["automation.workflows", "tests.parcelapp"])


@dataclass(frozen=True)
class Operation:
    """Something that happens to a run, and where it can be held."""

    act: Callable[["Scene"], Any]
    enter: str | None = None
    hold: str | None = None

    def actor(self, scene: "Scene") -> Actor:
        return Actor(partial(self.act, scene), enter=self.enter, hold=self.hold)


@dataclass
class Scene:
    """The run that the two meet at, and what is around it."""

    run: WorkflowRun
    clock: StillClock
    queue: Heap
    events: ParcelEvents
    occurrence: Occurrence | None = None
    claim: Claim | None = None
    """Of a worker that took the run before."""
    child: UUID | None = None

    @property
    def row(self) -> WorkflowRun:
        """As it is stored now; where the two were to make it, the only one."""
        return WorkflowRun.rows.get() if self.run._state.adding else WorkflowRun.rows.get(pk=self.run.pk)

    def to_the_end(self) -> None:
        """Let time pass and workers work until nothing moves any more; the event occurs when it is due."""
        Parcel.objects.filter(state="spoilt").update(state="packed")
        for _ in range(7):
            engine.process_scheduled()
            self.queue.work_off()
            self.clock.advance(minutes=10)
            if self.occurs_now:
                occur(self)

    @property
    def occurs_now(self) -> bool:
        """The event that was in doubt is due, has not been called off, and its condition holds."""
        if self.occurrence is None or self.occurrence.id not in self.events.known.keys() - self.events.occurred:
            return False
        assert self.occurrence.at is not None
        is_due = self.events.was_in_doubt and self.occurrence.at <= self.clock.now()
        self.events.valid |= is_due
        return is_due


def deliver(scene: Scene) -> None:
    engine._sweeper._postman.deliver("meet", 500)


def sweep_row(scene: Scene) -> None:
    """Sweep the run's row as the sweep does, in a transaction of its own; deliveries are another operation."""
    for run in engine._starter._runtime.storage.due(scene.clock.now(), 10):
        engine._sweeper._guarded(run)


def later(scene: Scene) -> list[Occurrence]:
    assert scene.occurrence is not None
    parcel = Parcel.objects.get(pk=scene.occurrence.entity.id)
    assert scene.occurrence.at is not None
    return [scene.events.add("meeting_due", parcel, scene.occurrence.at + timedelta(minutes=30))]


def turn_true(scene: Scene) -> None:
    """Save what makes the condition of the event true."""
    scene.events.valid = True
    engine.move([scene.occurrence])


def occur(scene: Scene) -> None:
    assert scene.occurrence is not None
    scene.events.occurred.add(scene.occurrence.id)
    engine.occurred([scene.occurrence])


def call_off(scene: Scene) -> None:
    assert scene.occurrence is not None
    scene.events.known.pop(scene.occurrence.id, None)
    engine.withdraw([scene.occurrence], "its entity was deleted")


def renew(scene: Scene) -> bool:
    """Be the heartbeat of the worker that took the run before; return whether it still holds it."""
    assert scene.claim is not None
    try:
        engine._worker._renewed(scene.claim.run, is_inside=True)
    except ClaimLost:
        return False
    return True


def go_on(scene: Scene) -> bool:
    """Be the worker that took the run before, at its step; return whether what it did is stored, and it goes on."""
    assert scene.claim is not None
    return engine._worker._attempt(scene.claim, Turn(began_at=scene.clock.now())) is not None


def deliver_end(scene: Scene) -> None:
    """Tell a parent that its child has ended."""
    child = WorkflowRun.rows.get(pk=scene.child)
    engine._sweeper._postman.deliver(children_signal(scene.run.pk, child.parent_visit), 500)


def retry(scene: Scene) -> int:
    return WorkflowRun.objects.filter(pk=scene.run.pk).retry()


def work_again(scene: Scene) -> int:
    """Retry a failed run, and be the worker that takes it up at once."""
    count = retry(scene)
    engine.execute_step(scene.run.pk)
    return count


def follow_release(scene: Scene) -> None:
    """Be the first processor of a release that reserves its starts at another time."""
    assert scene.occurrence is not None
    retrigger([scene.occurrence.id], using="default")


OPERATIONS = {
    "claim": Operation(lambda scene: engine.execute_step(scene.run.pk), hold="claim.before_commit"),
    "finish": Operation(
        lambda scene: engine.execute_step(scene.run.pk), enter="step.after_body", hold="finish.before_commit"
    ),
    "deliver": Operation(deliver, hold="deliver.before_commit"),
    "sweep": Operation(sweep_row),
    "cancel": Operation(lambda scene: engine.cancel(scene.run.pk)),
    "pause": Operation(lambda scene: engine.pause(scene.run.pk)),
    "resume": Operation(lambda scene: WorkflowRun.objects.filter(pk=scene.run.pk).resume()),
    "retry": Operation(retry),
    "retry, claim": Operation(work_again, hold="claim.before_commit"),
    "retry, finish": Operation(work_again, enter="step.after_body", hold="finish.before_commit"),
    "send": Operation(lambda scene: engine.signal("meet", {"heard": 2}, key="k2")),
    "move": Operation(lambda scene: engine.move(later(scene))),
    "withdraw": Operation(lambda scene: engine.withdraw([scene.occurrence], "the date was cleared")),
    "occur": Operation(occur),
    "defer": Operation(
        lambda scene: engine.execute_step(scene.run.pk), enter="finish.before_apply", hold="finish.before_commit"
    ),
    "turn true": Operation(turn_true),
    "call off": Operation(call_off),
    "plan": Operation(lambda scene: engine.plan([scene.occurrence])),
    "clean up": Operation(lambda scene: cleanup()),
    "start again": Operation(lambda scene: engine.start("meeting", run_key="k", how="goto")),
    "record": Operation(
        lambda scene: engine.execute_step(scene.run.pk), enter="step.before_body", hold="failure.before_commit"
    ),
    "renew": Operation(renew),
    "finish late": Operation(go_on, enter="step.after_body", hold="finish.before_commit"),
    "record late": Operation(go_on, enter="step.before_body", hold="failure.before_commit"),
    "end child": Operation(
        lambda scene: engine.execute_step(scene.child), enter="step.after_body", hold="finish.before_commit"
    ),
    "record start": Operation(
        lambda scene: engine.execute_step(scene.run.pk), enter="claim.after_commit", hold="failure.before_commit"
    ),
    "follow release": Operation(follow_release),
    "withdraw untriggered": Operation(lambda scene: withdraw_untriggered(using="default", dry_run=False)),
    "tell end": Operation(
        lambda scene: engine.execute_step(scene.child), enter="step.after_body", hold="deliver.before_commit"
    ),
    "cancel child": Operation(lambda scene: engine.cancel(scene.child)),
    "deliver end": Operation(deliver_end, hold="deliver.before_commit"),
}

MEETINGS = {
    "ready to go on": ["claim", "finish", "deliver", "sweep", "cancel", "pause", "send", "clean up"],
    "ready to wait": ["claim", "finish", "deliver", "sweep", "cancel", "pause", "send"],
    "waiting": ["claim", "deliver", "sweep", "cancel", "pause", "send", "clean up"],
    "paused": ["resume", "deliver", "cancel", "pause", "send"],
    "reserved": ["claim", "sweep", "cancel", "pause", "move", "withdraw", "occur", "plan"],
    "reserved, in doubt": ["claim", "defer", "sweep", "cancel", "pause", "turn true", "call off", "occur"],
    "failed": ["retry", "clean up", "start again"],
}
"""Where a run stands, and what can meet there."""

AROUND = {
    "not started": (["start again"], ["start again", "claim", "cancel"]),
    "ready to go on": (["start again"], ["start again", "claim", "finish", "cancel", "pause", "clean up"]),
    "ready to raise": (["record"], ["claim", "record", "deliver", "sweep", "cancel", "pause", "send", "retry"]),
    "ready to fail": (["retry"], ["claim", "finish"]),
    "ready to go on, overdue": (["sweep", "claim"], ["sweep", "claim", "deliver", "cancel", "pause", "send"]),
    "waiting, overdue": (["sweep", "claim"], ["sweep", "claim", "deliver", "cancel", "pause", "send"]),
    "paused for its code": (["sweep"], ["sweep", "deliver", "cancel", "pause", "resume", "send"]),
    "claimed": (["renew", "finish late"], ["renew", "claim", "sweep", "cancel", "pause", "deliver"]),
    "claimed, raises": (["record late"], ["renew", "cancel", "pause"]),
    "claimed, asked to pause": (["resume"], ["renew", "finish late", "cancel", "pause"]),
    "claimed, expired": (["sweep", "renew", "finish late"], ["renew", "sweep", "claim", "cancel", "pause"]),
    "claimed, expired, raises": (["record late"], ["sweep", "renew", "cancel", "pause"]),
    "taken over": (["finish", "claim"], ["renew", "finish late"]),
    "taken over, raises": (["record", "claim"], ["renew", "record late"]),
    "taken over, failed": (["retry", "retry, claim", "retry, finish"], ["renew", "finish late"]),
    "taken over, retried": (["finish", "claim"], ["renew", "finish late"]),
    "failed": (
        ["retry", "retry, claim", "retry, finish", "start again"],
        ["retry", "claim", "cancel", "pause", "sweep", "deliver", "send", "clean up"],
    ),
    "failed, to wait": (["retry"], ["deliver", "send"]),
    "completed": (["start again", "clean up"], ["start again", "clean up", "claim", "cancel", "pause", "retry"]),
    "reserved": (["finish"], ["finish", "claim", "cancel", "pause", "move", "withdraw", "call off", "occur", "plan"]),
    "reserved, raises": (
        ["record start"],
        ["record start", "claim", "cancel", "pause", "move", "withdraw", "call off", "turn true", "occur", "plan"],
    ),
    "reserved by another release": (
        ["follow release"],
        ["follow release", "claim", "sweep", "cancel", "pause", "move", "call off", "occur", "plan"],
    ),
    "reserved, untriggered": (
        ["withdraw untriggered"],
        ["withdraw untriggered", "claim", "finish", "sweep", "cancel", "pause", "move", "call off"],
    ),
    "not planned": (["plan", "occur"], ["plan", "occur", "call off"]),
    "child at its end": (["end child"], ["end child", "cancel", "pause", "cancel child", "clean up"]),
    "child at its end, parent paused": (["end child", "tell end"], ["resume", "cancel"]),
    "child at its end, parent overdue": (["end child", "tell end"], ["sweep", "claim"]),
    "child ended": (["deliver end"], ["deliver end", "cancel", "pause", "sweep", "clean up"]),
    "child ended, parent paused": (["deliver end"], ["resume", "cancel"]),
    "child ended, parent overdue": (["deliver end"], ["sweep", "claim"]),
    "child ended again, parent parts": (["deliver end"], ["claim", "finish", "cancel", "pause"]),
}
"""What meets there besides: each of the first with each of the second, in both orders."""

MET = [(state, *pair) for state, names in MEETINGS.items() for pair in product(names, names)]
MET += [
    (state, *pair)
    for state, (middle, others) in AROUND.items()
    for pair in (*product(middle, others), *product(others, middle))
]
PAIRS = [pytest.param(*each, id="{}: {}, {}".format(*each)) for each in dict.fromkeys(MET)]

WRITERS = {"claim", "finish", "sweep", "cancel", "pause", "resume", "retry", "move", "withdraw", "occur"}
WRITERS |= {"record start", "follow release", "withdraw untriggered"}
"""They change the run's row, so the second of two waits for the first."""


ENDING = {"claim", "finish", "retry, claim", "retry, finish", "withdraw", "call off", "withdraw untriggered"}
"""They may end a run that is to pause."""


def both_write(state: str, pair: set[str]) -> bool:
    """Return whether the two change the run's row for certain."""
    if state == "failed":
        return pair == {"retry"}
    if state.startswith("not "):
        # Nothing is there to be changed: the second waits for the row that the first inserts.
        return pair <= {"start again", "plan", "occur"}
    if "renew" in pair:
        return pair <= {"renew", "cancel", "pause"}
    if state.startswith("claimed") and pair & {"finish late", "record late"}:
        return bool(pair & {"cancel", "pause"})
    if "retry" in pair or (state, "resume" in pair) == ("paused for its code", True):
        return False
    return pair <= WRITERS and "finish" not in pair


@pytest.fixture
def scene(clock: StillClock, queue: Heap, events: ParcelEvents, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A run where the pair is to meet."""
    state = request.node.callspec.params["state"]
    with fault_points():
        made = make_scene(state, clock, queue, events)
        queue.hints.clear()
        yield made


def make_scene(state: str, clock: StillClock, queue: Heap, events: ParcelEvents) -> Scene:
    if state.startswith(("reserved", "not planned")):
        return make_start(state, clock, queue, events)
    if state.startswith("child"):
        return make_family(state, clock, queue, events)
    if state == "not started":
        return Scene(WorkflowRun(pk=keyed_run_id("meeting", "k")), clock, queue, events)
    how = "wait"
    if state.endswith(("to raise", "raises")):
        how = "raise"
    elif state.startswith(("ready to go on", "claimed", "taken over", "completed")):
        how = "goto"
    elif state.startswith(("failed", "ready to fail")):
        how = "fail"
    run = engine.start("meeting", run_key="k", how=how)
    claim = None
    if state.startswith(("claimed", "taken over")):
        send_undelivered()
        claim = engine._worker._claimer.claim(run.id, None)
        clock.advance(seconds=75 if "expired" in state or "taken" in state else 20)
        if state.startswith("taken over"):
            engine.process_scheduled()
            fail_and_retry(run.id, state)
        elif state.endswith("asked to pause"):
            engine.pause(run.id)
    elif state.startswith("ready"):
        send_undelivered()
        clock.advance(seconds=20)
    else:
        queue.work_off()
        send_undelivered()
    if state == "paused":
        engine.pause(run.id)
    if state == "failed, to wait":
        WorkflowRun.rows.filter(pk=run.id).update(data={"how": "wait", "heard": 0})
    if state == "paused for its code":
        WorkflowRun.rows.filter(pk=run.id).update(status="paused", pause="missing", next_at=clock.now())
    if state.endswith("overdue"):
        WorkflowRun.rows.filter(pk=run.id).update(deadline_at=clock.now(), next_at=clock.now())
    clock.advance(
        days=100 if state in {"failed", "completed"} else 0, minutes=6 if state in {"waiting", "paused"} else 0
    )
    return Scene(WorkflowRun.objects.get(pk=run.id), clock, queue, events, claim=claim)


def make_start(state: str, clock: StillClock, queue: Heap, events: ParcelEvents) -> Scene:
    """A start that is reserved for an hour before its event, and due."""
    parcel = Parcel.objects.create(state="spoilt" if state.endswith("raises") else "packed")
    occurrence = events.add("meeting_due", parcel, clock.now() + timedelta(minutes=90))
    if state == "not planned":
        return Scene(WorkflowRun(), clock, queue, events, occurrence)
    engine.plan([occurrence])
    events.was_in_doubt = state.endswith("in doubt")
    events.valid = not events.was_in_doubt
    run = WorkflowRun.objects.get()
    if state == "reserved by another release":
        # It had an offset of an hour and a half.
        due = {"offset": timedelta(minutes=-90), "wake_at": clock.now(), "next_at": clock.now()}
        WorkflowRun.rows.update(**due)
        clock.advance(minutes=1)
    else:
        clock.advance(minutes=31)
    if state == "reserved, untriggered":
        WorkflowRun.rows.update(occurrence={**run.occurrence, "name": "a name that it was changed to"})
    return Scene(WorkflowRun.objects.get(), clock, queue, events, occurrence)


def fail_and_retry(run_id: UUID, state: str) -> None:
    """Have the worker that took the run over fail, and the run retried."""
    if not state.endswith(("failed", "retried")):
        return
    WorkflowRun.rows.filter(pk=run_id).update(data={"how": "fail", "heard": 0})
    engine.execute_step(run_id)
    WorkflowRun.rows.filter(pk=run_id).update(data={"how": "goto", "heard": 0})
    if state.endswith("retried"):
        engine.retry(run_id)


def make_family(state: str, clock: StillClock, queue: Heap, events: ParcelEvents) -> Scene:
    """A parent that waits, and its child at its last step, or ended with nobody told yet."""
    parent = engine.start("parent", parts_again=state.endswith("parts")).id
    engine.execute_step(parent)
    child = WorkflowRun.objects.get(parent_id=parent).pk
    WorkflowRun.rows.filter(pk=child).update(data={"steps": 1, "done": 0})
    if state.startswith("child ended again"):
        engine.execute_step(child)
        with undelivered():
            tell_again(child)
    elif state.startswith("child ended"):
        with undelivered():
            engine.execute_step(child)
    if state.endswith("parent paused"):
        engine.pause(parent)
    if state.endswith("overdue"):
        WorkflowRun.rows.filter(pk=parent).update(deadline_at=clock.now(), next_at=clock.now())
    return Scene(WorkflowRun.objects.get(pk=parent), clock, queue, events, child=child)


def tell_again(child: UUID) -> None:
    """Tell the parent of another end of its child, as one that was retried after its parent had gone on does."""
    assert wiring.storage is not None
    run = wiring.storage.load(child)
    assert run is not None
    told = ended_signal(run, run.revision + 9, None, wiring.clock.now())
    assert told is not None
    wiring.storage.mailbox.post([told])


def send_undelivered() -> None:
    """Send a signal whose sender died before it delivered it."""
    with undelivered():
        engine.signal("meet", {"heard": 1})


@contextmanager
def undelivered() -> Iterator[None]:
    """Store what is sent inside the block, and deliver nothing."""
    mover = engine._signaller._mover
    announce, mover.announce = mover.announce, lambda names: None
    try:
        yield
    finally:
        mover.announce = announce


@pytest.mark.parametrize(("state", "first", "second"), PAIRS)
def test_two_that_meet_leave_the_run_as_if_one_had_come_after_the_other(
    scene: Scene, state: str, first: str, second: str
) -> None:
    one, other = OPERATIONS[first].actor(scene), OPERATIONS[second].actor(scene)

    one.prepare()
    other.prepare()
    one.strike()
    was_held = one.is_held
    other.strike()
    other_came_through = other.is_held
    for actor in (one, other):
        actor.release()
    results = [(first, one.result()), (second, other.result())]

    if was_held and both_write(state, {first, second}):
        assert other.was_blocked or not other_came_through, "the second neither waited nor gave way"
    scene.to_the_end()
    assert_kept(scene.row, state, results)
    if state.startswith("taken over"):
        lost = {name: result for name, result in results if name in {"renew", "finish late", "record late"}}
        assert not any(lost.values()), "a worker that has lost its run changes nothing"
    if scene.child is not None:
        child = WorkflowRun.rows.get(pk=scene.child)
        assert_one_family(scene.row, child, state)
        if state == "child at its end, parent overdue":
            came_first = first in {"end child", "tell end"}
            assert child.status == (WorkflowStatus.COMPLETED if came_first else WorkflowStatus.CANCELLED)
        return
    assert_sound(scene.row, state)
    if scene.occurrence is not None:
        assert_in_time(scene, state, {first, second})


def assert_kept(row: WorkflowRun, state: str, results: list[tuple[str, Any]]) -> None:
    """Check that what an operation told its caller is still true."""
    did = {name for name, result in results if result is True}
    tried = {name for name, _ in results}
    if "cancel" in did:
        assert row.status == WorkflowStatus.CANCELLED
    elif "pause" in did and not tried & (ENDING | {"resume"}):
        assert (row.status, row.pause) == (WorkflowStatus.PAUSED, "person")
    retried = sum(result for name, result in results if name.startswith("retry"))
    if any(name.startswith("retry") for name in tried) and "clean up" not in tried:
        assert retried == is_failed(state), "who has failed is retried once, and nobody else is"
    if dict(results).get("renew") is True and dict(results).keys() == {"renew", "sweep"}:
        assert row.lost_claims <= 1, "only what came after the renewed claim's end may take the run away"
    if "resume" in tried and tried & {"renew", "finish late"}:
        assert row.status == WorkflowStatus.COMPLETED, "who is resumed goes on to the end"
    if "start again" in tried:
        given = dict(results)["start again"]
        assert (given.id, WorkflowRun.rows.count()) == (row.pk, 1)
        assert given.revision or not is_over(state), "the run is given as it is stored"


def is_failed(state: str) -> bool:
    return state.startswith("failed") or state == "taken over, failed"


def is_over(state: str) -> bool:
    return state.startswith(("failed", "completed"))


def assert_in_time(scene: Scene, state: str, tried: set[str]) -> None:
    """Check of a reserved start that it begins when it is to, and at no other time."""
    row = scene.row
    assert scene.occurrence is not None
    # A body that has been called follows no date any more.
    event_at = row.event_at if "finish" in tried else scene.events.known.get(scene.occurrence.id, scene.occurrence).at
    assert event_at is not None
    is_early = row.finished_at is not None and row.finished_at < event_at + row.offset
    if row.status == WorkflowStatus.CANCELLED:
        assert not Entry.objects.exists(), "a start that was called off has done nothing"
    elif "occur" not in tried:
        assert not is_early, "only an event that occurs begins a start before its time"
    elif state == "not planned" and row.status == WorkflowStatus.COMPLETED:
        assert is_early, "it begins at the occurrence"
    if tried <= {"withdraw", "move", "plan"} and "withdraw" in tried:
        assert row.status == WorkflowStatus.CANCELLED
    if state == "reserved, raises":
        assert row.lost_claims == 0, "who has said how it ended is not missed"
        assert row.status == WorkflowStatus.CANCELLED or "call off" not in tried
    if state == "reserved, untriggered":
        assert row.status == WorkflowStatus.CANCELLED or row.occurrence_digest, "who begins keeps its place"
    if tried == {"defer", "turn true"}:
        assert row.finished_at is not None
        assert row.finished_at < event_at, "it begins when the save makes the condition true, not at the event"


def assert_one_family(parent: WorkflowRun, child: WorkflowRun, state: str) -> None:
    """Check that a parent hears its child once, and that no child outlives a parent that was called off."""
    assert not WorkflowRun.objects.unmovable().exists()
    ends = WorkflowSignal.objects.filter(run_id=parent.pk).count()
    assert ends <= len(parent_steps(state)) - 1 + state.startswith("child ended again"), "only a child tells its end"
    steps = list(parent.attempts.order_by("revision").values_list("step", flat=True))
    assert steps == parent_steps(state)[: len(steps)]
    if parent.finished_at is not None:
        assert not WorkflowRun.objects.live().exists(), "no child outlives its parent"
    match parent.status:
        case WorkflowStatus.COMPLETED:
            assert steps == parent_steps(state)
            assert not state.endswith("overdue")
        case WorkflowStatus.CANCELLED:
            assert steps != parent_steps(state)
        case WorkflowStatus.FAILED:
            assert state.endswith("overdue")
            assert steps == ["begin"]
        case WorkflowStatus.PAUSED:
            assert parent.pause == "person"
        case other:
            raise AssertionError(f"The parent is left {other}: {parent.why}")


def parent_steps(state: str) -> list[str]:
    return ["begin", "joined", "joined"] if state.endswith("parts") else ["begin", "joined"]


def assert_sound(row: WorkflowRun, state: str) -> None:
    """Check what must hold whatever met whatever."""
    arrived, left, gave_up = (
        Entry.objects.filter(account=account).count() for account in ("arrive", "leave", "give up")
    )
    if row.tombstone_at is not None:
        assert arrived == 1, "what is kept for its key alone runs no more"
        return
    assert not WorkflowRun.objects.unmovable().exists()
    assert WorkflowReceipt.objects.filter(run_id=row.pk).count() <= 1
    outcomes = list(row.attempts.order_by("revision").values_list("outcome", flat=True))
    assert arrived == sum(outcome in {"goto", "wait", "fail"} for outcome in outcomes) + is_reserved(row, outcomes)
    assert left + gave_up <= 1
    if state in {"ready to wait", "failed, to wait", "paused for its code"}:
        assert not gave_up, "the signal was sent before the wait, and is lost"
    if state.endswith("overdue"):
        assert row.status != WorkflowStatus.COMPLETED, "past its deadline nothing moves it but its failure"
        assert not left + gave_up
    match row.status:
        case WorkflowStatus.COMPLETED:
            assert left + gave_up == 1 or row.triggered_by_event_id is not None
        case WorkflowStatus.PAUSED:
            assert row.pause == "person"
        case WorkflowStatus.CANCELLED | WorkflowStatus.FAILED:
            assert row.next_at is None
        case other:
            raise AssertionError(f"The run is left {other}: {row.why}")


def is_reserved(row: WorkflowRun, outcomes: list[str]) -> int:
    """A reserved start arrives and completes in one step."""
    return outcomes.count("complete") if row.triggered_by_event_id is not None else 0


@pytest.mark.parametrize("waits", [False, True])
def test_two_steps_that_call_each_others_runs_off_do_not_deadlock(
    clock: StillClock, queue: Heap, events: ParcelEvents, *, waits: bool
) -> None:
    """Both stand before their commit at the same moment, each about to touch the other's run."""
    with fault_points():
        one, other = (engine.start("quarrel", waits=waits).id for _ in range(2))
        for run_id, victim in ((one, other), (other, one)):
            WorkflowRun.objects.filter(pk=run_id).update(data={"other": str(victim), "waits": waits})
        actors = [
            Actor(partial(engine.execute_step, run_id), enter="step.after_body", hold="finish.before_commit")
            for run_id in (one, other)
        ]
        for actor in actors:
            actor.prepare()
        for actor in actors:
            actor.strike()
        for actor in actors:
            actor.release()
        for actor in actors:
            actor.result()

    assert sorted(WorkflowRun.objects.values_list("lost_claims", flat=True)) == [0, 0]
    assert WorkflowRun.objects.cancelled().count() == 1


def test_a_step_that_touches_a_waiting_run_and_waits_itself_does_not_deadlock_with_a_delivery(
    clock: StillClock, queue: Heap, events: ParcelEvents
) -> None:
    """The delivery holds the signal's name and wants the waiting run; the step has that run and wants the name."""
    with fault_points():
        victim = engine.start("quarrel", waits=True).id
        queue.work_off()
        send_undelivered()
        step = engine.start("quarrel", other=str(victim), waits=True).id
        delivery = Actor(partial(engine._sweeper._postman.deliver, "meet", 500), hold="deliver.before_commit")
        worker = Actor(partial(engine.execute_step, step), enter="step.after_body", hold="finish.before_commit")
        worker.prepare()
        delivery.strike()
        worker.strike()
        for actor in (delivery, worker):
            actor.release()
        for actor in (delivery, worker):
            actor.result()

    assert WorkflowRun.objects.get(pk=step).lost_claims == 0
    assert WorkflowRun.objects.get(pk=victim).status == WorkflowStatus.CANCELLED


def test_a_transaction_that_holds_one_waiting_run_keeps_no_other_signal_and_no_other_wait(
    clock: StillClock, queue: Heap, events: ParcelEvents
) -> None:
    """A web request pauses a run and then stays in its transaction; a delivery to that run has to wait for it."""
    with fault_points():
        held = engine.start("meeting", how="wait").id
        other = engine.start("waiter").id
        queue.work_off()
        send_undelivered()
        request = Actor(partial(engine.pause, held))
        delivery = Actor(partial(engine._sweeper._postman.deliver, "meet", 500), hold="deliver.before_commit")
        request.strike()
        delivery.strike()
        assert delivery.was_blocked

        sender = Actor(partial(engine.signal, "ops:window_open", {"foo": 1}), hold="start.before_commit")
        late = engine.start("meeting", how="wait").id
        waiting = Actor(partial(engine.execute_step, late), hold="start.before_commit")
        for actor in (sender, waiting):
            actor.strike()

        assert not sender.was_blocked
        assert WorkflowRun.objects.get(pk=other).status == WorkflowStatus.READY
        assert not waiting.was_blocked
        assert WorkflowRun.objects.get(pk=late).status == WorkflowStatus.WAITING
        for actor in (request, delivery):
            actor.release()
        for actor in (request, delivery, sender, waiting):
            actor.result()

    assert WorkflowRun.objects.get(pk=held).status == WorkflowStatus.PAUSED
    engine.resume(held)
    assert WorkflowRun.objects.get(pk=held).status == WorkflowStatus.READY


def test_a_step_that_resumes_a_run_and_a_delivery_to_it_do_not_deadlock(
    clock: StillClock, queue: Heap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step holds one waiting run when it looks into the mailbox for the other."""
    victim, paused = sorted(engine.start("quarrel", waits=True).id for _ in range(2))
    queue.work_off()
    engine.pause(paused)
    send_undelivered()
    step = engine.start("quarrel", other=str(victim), resumes=str(paused)).id
    let_go_on = engine._operator.let_go_on

    def held(run: Run) -> None:
        fault("sweep.before_row")
        let_go_on(run)

    monkeypatch.setattr(engine._operator, "let_go_on", held)
    with fault_points():
        worker = Actor(partial(engine.execute_step, step), hold="sweep.before_row")
        delivery = Actor(partial(engine._sweeper._postman.deliver, "meet", 500), hold="deliver.before_commit")
        worker.strike()
        delivery.strike()
        assert delivery.was_blocked
        for actor in (worker, delivery):
            actor.release()
        for actor in (worker, delivery):
            actor.result()

    assert list(WorkflowRun.objects.get(pk=step).attempts.values_list("outcome", flat=True)) == ["goto", "complete"]
    assert WorkflowRun.objects.get(pk=victim).status == WorkflowStatus.CANCELLED
    assert WorkflowRun.objects.get(pk=paused).status == WorkflowStatus.READY
