"""Whatever happens to a run, in whatever order, it stays a run that can be understood."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from automation.workflows.errors import IllegalTransition
from automation.workflows.runs.causes import Raised, Returned
from automation.workflows.runs.decide import decide
from automation.workflows.runs.transition import fold
from automation.workflows.runs.transitions import TRANSITIONS
from automation.workflows.runs.values import Pause, Run, WorkflowStatus
from automation.workflows.runs.visits import idempotency_key
from tests.unit.runs.builders import CAUSES, NOW, child, definition, run

WALKS = st.lists(st.sampled_from(sorted(CAUSES)), min_size=1, max_size=40)


def legal(each: Run) -> bool:
    match each.status:
        case WorkflowStatus.READY:
            return each.next_at is not None and each.wait is None and each.wake_at is None and not each.claim_expires_at
        case WorkflowStatus.RUNNING:
            return each.claim_expires_at == each.next_at is not None and each.wait is None
        case WorkflowStatus.WAITING:
            waits = each.next_at is not None or (each.wait is not None and bool(each.wait.signal))
            return waits and each.claim_expires_at is None
        case WorkflowStatus.PAUSED:
            return each.pause is not Pause.NONE and bool(each.why) and each.claim_expires_at is None
        case _:
            gone = (each.next_at, each.wake_at, each.wait, each.claim_expires_at)
            may_go_on = each.status is WorkflowStatus.FAILED
            return (
                not any(gone)
                and (may_go_on or each.wake is None)
                and each.finished_at is not None
                and not each.children_pending
            )


@settings(max_examples=400, deadline=None)
@given(walk=WALKS, compensates=st.booleans(), deadline=st.booleans())
def test_any_sequence_of_causes_leaves_a_run_that_says_what_will_move_it(
    walk: list[str], compensates: bool, deadline: bool
) -> None:
    workflow = definition(on_fail="undo" if compensates else None)
    each = run(deadline_at=NOW + timedelta(days=1) if deadline else None)
    for cause in walk:
        if cause not in TRANSITIONS[each.status] or (cause == "Signalled" and each.children_pending):
            continue
        if cause == "DeadlinePassed" and each.deadline_at is None:
            continue
        if cause == "ChildEnded" and not each.children_pending:
            continue
        after = decide(each, CAUSES[cause], workflow, NOW, (child(),)).after

        assert legal(after), (each, cause, after)
        assert after.revision == each.revision + 1
        assert after.visit in {each.visit, each.visit + 1}
        if after.visit > each.visit:
            assert (after.attempt, after.lost_claims) == (0, 0)
            assert after.wake is not None
            goes_on = each.wake if cause == "RetryRequested" else None
            own = idempotency_key(after.id, after.visit)
            assert after.wake.idempotency_key == (goes_on.idempotency_key if goes_on else own)
        each = after


@settings(max_examples=200, deadline=None)
@given(cause=st.sampled_from(sorted(CAUSES)), status=st.sampled_from(list(WorkflowStatus)))
def test_a_decision_changes_nothing_it_was_given_and_repeats(cause: str, status: WorkflowStatus) -> None:
    each = run(status, deadline_at=NOW)
    copy = replace(each)
    try:
        first, second = (decide(each, CAUSES[cause], definition(), NOW, (child(),)) for _ in range(2))
    except IllegalTransition:
        return

    assert first == second
    assert each == copy


@settings(max_examples=200, deadline=None)
@given(walk=WALKS)
def test_folding_a_walk_is_its_end_in_one_revision(walk: list[str]) -> None:
    each, moves = run(), []
    for cause in walk:
        if cause in TRANSITIONS[each.status] and cause not in {"DeadlinePassed", "ChildEnded"}:
            moves.append(decide(each, CAUSES[cause], definition(), NOW, (child(),)))
            each = moves[-1].after
    if not moves:
        return

    folded = fold(*moves)

    assert folded.before == moves[0].before
    assert folded.after == replace(moves[-1].after, revision=moves[0].before.revision + 1)
    assert folded.cause == "+".join(move.cause for move in moves)


@settings(max_examples=100, deadline=None)
@given(cause=st.sampled_from(sorted(CAUSES)))
def test_causes_that_end_an_attempt_leave_a_row_and_others_do_not(cause: str) -> None:
    each = run(WorkflowStatus.RUNNING)
    if cause not in TRANSITIONS[WorkflowStatus.RUNNING] or cause == "DeadlinePassed":
        return
    transition = decide(each, CAUSES[cause], definition(), NOW, (child(),))
    ends = isinstance(CAUSES[cause], Returned | Raised) or cause == "Lost"

    assert (transition.attempt is not None) is ends
    if transition.attempt is not None:
        assert transition.attempt.revision == transition.after.revision
        assert (transition.attempt.step, transition.attempt.visit, transition.attempt.number) == ("one", 2, 1)
