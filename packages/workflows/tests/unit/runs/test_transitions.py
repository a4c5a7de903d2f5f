"""The machine, alone: every status with every cause, legal or refused."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from automation.workflows.authoring.results import StepResult
from automation.workflows.errors import IllegalTransition
from automation.workflows.runs import causes
from automation.workflows.runs.causes import Cause, Raised, Returned
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import Enqueue, Transition
from automation.workflows.runs.transitions import TRANSITIONS, check_transition, next_statuses
from automation.workflows.runs.values import Run, WorkflowStatus
from automation.workflows.runs.visits import GRACE
from tests.unit.runs.builders import CAUSES, FAILURE, LATER, NOW, child, definition, gathered_two, parent, run

CELLS = [(status, cause) for status in WorkflowStatus for cause in CAUSES]


def before(status: WorkflowStatus, cause: str) -> Run:
    if cause == "ChildEnded" and status is WorkflowStatus.WAITING:
        return parent()
    return run(status, deadline_at=NOW - timedelta(seconds=1) if cause == "DeadlinePassed" else None)


def test_the_table_has_every_status_and_every_cause() -> None:
    named = {cause.__name__ for cause in get_args(Cause) if cause not in {Returned, Raised}}
    named |= {result.__name__ for result in get_args(StepResult)} | {"Retrying", "Exhausted"}

    assert set(TRANSITIONS) == set(WorkflowStatus)
    assert {cause for row in TRANSITIONS.values() for cause in row} == named == set(CAUSES)


def test_the_final_statuses_are_present_and_empty() -> None:
    assert TRANSITIONS[WorkflowStatus.COMPLETED] == TRANSITIONS[WorkflowStatus.CANCELLED] == {}
    assert set(TRANSITIONS[WorkflowStatus.FAILED]) == {"RetryRequested"}


@pytest.mark.parametrize(("status", "cause"), CELLS, ids=str)
def test_a_cell_is_legal_or_refused(status: WorkflowStatus, cause: str) -> None:
    """7 statuses x 23 causes = 161 cells."""
    legal = next_statuses(status, cause)

    if legal:
        transition = decide(before(status, cause), CAUSES[cause], definition(), NOW, (child(),))
        assert transition.after.status in legal
        assert transition.after.revision == transition.before.revision + 1
        assert transition.cause == cause
    else:
        with pytest.raises(IllegalTransition, match=re.escape(f"{cause} cannot move run")):
            decide(before(status, cause), CAUSES[cause], definition(), NOW, (child(),))


@pytest.mark.parametrize(
    ("status", "cause", "target"),
    [(status, cause, target) for status, row in TRANSITIONS.items() for cause, to in row.items() for target in to],
    ids=str,
)
def test_every_target_in_the_table_is_reached_by_some_run(
    status: WorkflowStatus, cause: str, target: WorkflowStatus
) -> None:
    """A target that no run reaches would be a drawing of a machine that does not exist."""
    assert target in {decided.after.status for decided in _all(status, cause)}


def _all(status: WorkflowStatus, cause: str) -> list[Transition]:
    """Decide the cause for variants of runs and causes of that name."""
    runs = [
        before(status, cause),
        replace(before(status, cause), lost_claims=4),
        replace(before(status, cause), wake=FAILURE) if status is WorkflowStatus.RUNNING else before(status, cause),
        replace(before(status, cause), wait=None, wake_at=None),
        replace(before(status, cause), wake_at=LATER),
    ]
    if cause == "ChildEnded":
        runs = [parent(), gathered_two()]
    given = CAUSES[cause]
    variants = [given]
    if cause == "ChildEnded":
        variants.append(replace(given, error="too much"))  # type: ignore[type-var]
    if cause == "Missing":
        variants.append(replace(given, gives_up=False))  # type: ignore[type-var]
    if cause == "Goto":
        variants.append(replace(given, run_on_until=LATER))  # type: ignore[type-var]
    return [
        decide(each, variant, workflow, NOW, started)
        for each in runs
        for variant in variants
        for workflow in (definition(), definition(on_fail="undo"))
        for started in ((child(),), ())
    ]


def test_a_lost_run_is_ready_at_once_or_when_its_cause_says() -> None:
    held = before(WorkflowStatus.RUNNING, "Lost")
    lost = causes.Lost(limit=5, reason="gone", position=11)
    later = replace(lost, again_at=LATER)

    at_once, in_a_while = (decide(held, cause, definition(), NOW) for cause in (lost, later))

    assert (at_once.after.status, at_once.after.next_at) == (WorkflowStatus.READY, NOW + GRACE)
    assert at_once.effects == (Enqueue(run_id=held.id),)
    assert (in_a_while.after.status, in_a_while.after.next_at) == (WorkflowStatus.READY, LATER)
    assert in_a_while.effects == (Enqueue(run_id=held.id, run_after=LATER),)
    assert in_a_while.after.why == "attempt 2 at 2030-01-07 10:00:00 UTC, after gone"


def test_a_lost_run_rests_no_longer_than_its_workflows_deadline_and_its_on_fail_step_not_at_all() -> None:
    soon = NOW + timedelta(seconds=1)
    lost = causes.Lost(limit=5, reason="gone", position=11, again_at=LATER)
    dated = replace(before(WorkflowStatus.RUNNING, "Lost"), deadline_at=soon)
    worn = replace(before(WorkflowStatus.RUNNING, "Lost"), lost_claims=4)

    rests = decide(dated, lost, definition(), NOW)
    fails = decide(worn, lost, definition(on_fail="undo"), NOW)

    assert (rests.after.next_at, rests.effects) == (soon, (Enqueue(run_id=dated.id, run_after=soon),))
    assert (fails.after.current_step, fails.after.next_at) == ("undo", NOW + GRACE)
    assert fails.effects == (Enqueue(run_id=worn.id),)


def test_a_refusal_says_which_run_what_and_what_can() -> None:
    with pytest.raises(
        IllegalTransition,
        match=r"Claimed cannot move run .*-000000000001 \('w'\), which is COMPLETED: nothing can\.",
    ):
        check_transition(run(WorkflowStatus.COMPLETED), "Claimed", WorkflowStatus.RUNNING)
    with pytest.raises(IllegalTransition, match=r"Claimed leads a READY run to RUNNING, not to FAILED \(run "):
        check_transition(run(), "Claimed", WorkflowStatus.FAILED)


def test_the_grace_is_what_the_docs_say() -> None:
    assert timedelta(seconds=10) == GRACE
