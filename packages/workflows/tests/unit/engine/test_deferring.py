"""A worker decides about a reserved start while its event changes: it decides again, on what the event is then."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread

import pytest

from automation.workflows.core import WorkflowStatus
from automation.workflows.engine.faults import injected, uninstall
from automation.workflows.ports import Occurrence
from tests.unit.engine.test_events import Events, occurrence, reminder, the_run
from tests.unit.world import START, World

AHEAD = occurrence(START + timedelta(hours=3))


@pytest.fixture
def events(world: World) -> Events:
    known = Events()
    world.wiring.occurrences = known
    return known


@pytest.fixture(autouse=True)
def reserved(world: World, events: Events) -> None:
    """A start two hours ahead of its event, due now, while the condition of the event does not hold."""
    reminder(offset_minutes=-60)
    events.put(AHEAD, valid=False)
    world.engine.plan([AHEAD])
    world.clock.at += timedelta(hours=2)


def between_look_and_commit(world: World, change: Callable[[], None], *, point: str = "finish.before_apply") -> None:
    """Let a worker decide that the start may not begin, and change the event, elsewhere, before that is stored."""

    def elsewhere() -> None:
        uninstall(point)
        other = Thread(target=change)
        other.start()
        other.join(timeout=30)
        assert not other.is_alive(), "the change waits for the worker that waits for it"

    with injected(point, elsewhere):
        world.engine.execute_step(the_run(world).id)


def test_a_condition_that_turns_true_meanwhile_begins_the_start_at_once(world: World, events: Events) -> None:
    def save() -> None:
        events.put(AHEAD, valid=True)
        world.engine.move([AHEAD])

    between_look_and_commit(world, save)
    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_an_event_that_occurs_meanwhile_begins_the_start(world: World, events: Events) -> None:
    def occur() -> None:
        events.put(AHEAD, occurred=True)
        world.engine.occurred([AHEAD])

    between_look_and_commit(world, occur)
    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_an_event_that_is_called_off_meanwhile_cancels_the_start(world: World, events: Events) -> None:
    def delete() -> None:
        events.known.clear()
        world.engine.withdraw([AHEAD], "its entity was deleted")

    between_look_and_commit(world, delete)
    assert the_run(world).status is WorkflowStatus.CANCELLED


def test_a_date_that_moves_meanwhile_moves_the_start(world: World, events: Events) -> None:
    moved: Occurrence = occurrence(START + timedelta(hours=9))

    def edit() -> None:
        events.put(moved)
        world.engine.move([moved])

    between_look_and_commit(world, edit)
    run = the_run(world)
    assert (run.status, run.next_at) == (WorkflowStatus.WAITING, START + timedelta(hours=8))


@pytest.mark.parametrize("point", ["claim.before_commit", "claim.after_commit"])
def test_a_change_between_claim_and_look_is_seen(world: World, events: Events, point: str) -> None:
    def save() -> None:
        events.put(AHEAD, valid=True)

    between_look_and_commit(world, save, point=point)
    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_a_start_that_is_ready_when_its_event_changes_is_still_taken_by_the_first_hint(
    world: World, events: Events
) -> None:
    """The change counts the run's revision up under a worker that is about to claim it."""
    world.with_queue()
    world.engine.process_scheduled()
    assert the_run(world).status is WorkflowStatus.READY

    def save() -> None:
        events.put(AHEAD, valid=True)
        world.engine.move([AHEAD])

    claim, stored = world.engine._worker._claimer, world.storage.load

    def load(run_id):
        run = stored(run_id)
        if world.storage.load is load:
            world.storage.load = stored
            save()
        return run

    world.storage.load = load
    assert claim is not None
    world.engine.execute_step(the_run(world).id)
    assert the_run(world).status is WorkflowStatus.COMPLETED


def test_a_step_that_has_begun_commits_although_its_event_changes_meanwhile(world: World, events: Events) -> None:
    events.put(AHEAD, valid=True)
    later = occurrence(START + timedelta(hours=9))

    def edit() -> None:
        events.put(later)
        world.engine.move([later])
        world.engine.withdraw([later], "its date was cleared")

    between_look_and_commit(world, edit)
    run = the_run(world)
    assert (run.status, len(world.attempts(run))) == (WorkflowStatus.COMPLETED, 1)
