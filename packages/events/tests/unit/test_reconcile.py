"""The decisions about rows, from plain values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.events.lifecycle.reconcile import News, Snapshot, State, Verb, earlier, judge, later, reconcile
from automation.events.lifecycle.status import EventStatus

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SOON = NOW + HOUR
PAST = NOW - HOUR
LONG_PAST = NOW - 25 * HOUR


def scheduled(at, holds=True, **more):
    return Snapshot(scheduled=True, at=at, holds=holds, **more)


def immediate(holds, **more):
    return Snapshot(scheduled=False, holds=holds, **more)


def state(**values):
    return State(**{"condition_held": True, **values})


@pytest.mark.parametrize(
    ("snapshot", "status", "next_at", "news"),
    [
        pytest.param(immediate(True), "pending", NOW, (News.ARMED,), id="immediate and true: looked at now"),
        pytest.param(immediate(False), "pending", None, (News.ARMED,), id="immediate and false: waits for a save"),
        pytest.param(scheduled(SOON), "pending", SOON, (News.ARMED,), id="ahead: looked at then"),
        pytest.param(
            scheduled(SOON, holds=False), "pending", SOON, (News.ARMED,), id="ahead and false: looked at then"
        ),
        pytest.param(scheduled(None), "pending", None, (), id="no date: waits for one"),
        pytest.param(scheduled(PAST), "pending", PAST, (News.ARMED,), id="just past: due"),
        pytest.param(
            scheduled(NOW - 24 * HOUR), "pending", NOW - 24 * HOUR, (News.ARMED,), id="24 h past, limit 24 h: due"
        ),
        pytest.param(scheduled(LONG_PAST), "expired", None, (), id="25 h past, limit 24 h: expired"),
        pytest.param(immediate(False, failure="ValueError"), "pending", None, (News.ARMED,), id="failed: parked"),
    ],
)
def test_first_row(snapshot, status, next_at, news):
    change = reconcile(snapshot, None, NOW)
    assert change.verb is Verb.INSERT
    assert (change.state.status, change.state.next_at, change.news) == (status, next_at, news)


@pytest.mark.parametrize(
    ("snapshot", "existing", "verb", "next_at", "news"),
    [
        pytest.param(
            scheduled(SOON + HOUR), state(at=SOON, next_at=SOON), "amend", SOON + HOUR, ("moved",), id="moved later"
        ),
        pytest.param(scheduled(PAST), state(at=SOON, next_at=SOON), "amend", PAST, ("moved",), id="moved to just past"),
        pytest.param(scheduled(None), state(at=SOON, next_at=SOON), "amend", None, ("disarmed",), id="cleared"),
        pytest.param(scheduled(SOON), state(), "amend", SOON, ("armed",), id="set again"),
        pytest.param(
            scheduled(LONG_PAST), state(at=SOON, next_at=SOON), "amend", None, ("expired",), id="moved to long past"
        ),
        pytest.param(scheduled(SOON), state(at=SOON, next_at=SOON), "keep", SOON, (), id="unchanged"),
        pytest.param(
            scheduled(PAST), state(at=PAST, condition_held=False, found_false_at=PAST), "amend", NOW, ("moved",),
            id="found false at its time, true now: due",
        ),
        pytest.param(
            scheduled(LONG_PAST), state(at=LONG_PAST, next_at=LONG_PAST), "keep", LONG_PAST, (),
            id="armed in time and missed by an outage: never expired by a save",
        ),
    ],
)  # fmt: skip
def test_pending_scheduled_row(snapshot, existing, verb, next_at, news):
    change = reconcile(snapshot, existing, NOW)
    assert (change.verb, change.state.next_at, change.news) == (verb, next_at, news)


@pytest.mark.parametrize("status", [EventStatus.OCCURRED, EventStatus.CANCELLED, EventStatus.EXPIRED])
def test_settled_row_is_armed_again_by_another_date_ahead(status):
    change = reconcile(scheduled(SOON), state(at=PAST, status=status, generation=3), NOW)
    assert (change.verb, change.state.generation, change.state.next_at) == (Verb.REARM, 4, SOON)
    assert change.news == (News.SUPERSEDED, News.ARMED)


@pytest.mark.parametrize("status", [EventStatus.OCCURRED, EventStatus.CANCELLED, EventStatus.EXPIRED])
@pytest.mark.parametrize("at", [SOON, PAST, None])
def test_unchanged_date_never_arms_again(status, at):
    """Also after an early `mark_as_occurred()`, when the date still lies ahead."""
    assert reconcile(scheduled(at), state(at=at, status=status), NOW).verb is Verb.KEEP


def test_occurred_row_follows_a_corrected_past_date_without_occurring_again():
    change = reconcile(scheduled(PAST - HOUR), state(at=PAST, status=EventStatus.OCCURRED), NOW)
    assert (change.verb, change.state.at, change.state.status) == (Verb.AMEND, PAST - HOUR, EventStatus.OCCURRED)
    assert change.news == (News.MOVED,)


def test_expired_date_corrected_to_one_that_counts_is_armed():
    change = reconcile(scheduled(PAST), state(at=LONG_PAST, status=EventStatus.EXPIRED), NOW)
    assert (change.verb, change.state.next_at) == (Verb.REARM, PAST)


def test_disarming_raises_the_generation_so_that_arming_again_is_new():
    change = reconcile(scheduled(None), state(at=SOON, next_at=SOON, generation=2), NOW)
    assert change.state.generation == 3
    assert reconcile(scheduled(SOON), change.state, NOW).state.generation == 3


@pytest.mark.parametrize(
    ("held", "before", "holds", "verb"),
    [
        pytest.param(True, None, False, Verb.AMEND, id="turned false: remembered"),
        pytest.param(False, None, True, Verb.REARM, id="turned true: again"),
        pytest.param(True, None, True, Verb.KEEP, id="stayed true"),
        pytest.param(False, True, True, Verb.AMEND, id="there and back within one transaction: no turn"),
    ],
)
def test_repeating_event_is_judged_between_commits(held, before, holds, verb):
    existing = state(status=EventStatus.OCCURRED, condition_held=held)
    assert reconcile(immediate(holds, repeat=True, held_before=before), existing, NOW).verb is verb


def test_condition_that_raises_is_no_turn_to_false_of_a_repeating_event():
    existing = state(status=EventStatus.OCCURRED, condition_held=True)
    failed = reconcile(immediate(False, repeat=True, failure="ValueError"), existing, NOW)
    assert failed.verb is Verb.KEEP
    assert reconcile(immediate(True, repeat=True), failed.state, NOW).verb is Verb.KEEP


def test_event_that_does_not_repeat_stays_occurred():
    existing = state(status=EventStatus.OCCURRED, condition_held=False)
    assert reconcile(immediate(True), existing, NOW).verb is Verb.KEEP


def test_due_and_true_occurs():
    change = judge(scheduled(PAST), state(at=PAST, next_at=PAST), NOW)
    assert (change.verb, change.state.status, change.state.next_at) == (Verb.OCCUR, EventStatus.OCCURRED, None)


def test_due_exactly_now_occurs():
    assert judge(scheduled(NOW), state(at=NOW, next_at=NOW), NOW).verb is Verb.OCCUR


def test_due_and_false_is_not_polled_again():
    change = judge(scheduled(PAST, holds=False), state(at=PAST, next_at=PAST), NOW)
    assert (change.verb, change.state.next_at, change.state.found_false_at) == (Verb.AMEND, None, NOW)
    assert change.state.why == "condition is false"


def test_due_row_whose_date_was_moved_behind_our_back_moves():
    change = judge(scheduled(SOON), state(at=PAST, next_at=PAST), NOW)
    assert (change.verb, change.state.next_at, change.news) == (Verb.AMEND, SOON, (News.MOVED,))


def test_failure_parks_with_its_text():
    change = judge(scheduled(PAST, holds=False, failure="ValueError: x"), state(at=PAST, next_at=PAST), NOW)
    assert (change.state.next_at, change.state.error) == (None, "ValueError: x")
    assert "parked" in change.state.why


def test_row_found_false_expires_when_the_bound_of_late_has_passed():
    found = judge(scheduled(NOW, holds=False, late=HOUR), state(at=NOW, next_at=NOW), NOW).state
    assert found.next_at == NOW + HOUR
    assert judge(scheduled(NOW, late=HOUR), found, NOW + HOUR).state.status is EventStatus.EXPIRED
    assert reconcile(scheduled(NOW, late=HOUR), found, NOW + 2 * HOUR).state.status is EventStatus.EXPIRED


def test_outage_longer_than_late_does_not_expire_what_was_armed_in_time():
    change = judge(scheduled(NOW, late=HOUR), state(at=NOW, next_at=NOW), NOW + 50 * HOUR)
    assert change.verb is Verb.OCCUR


def test_dates_at_the_edge_of_time_do_not_overflow():
    edge = datetime.max.replace(tzinfo=UTC)
    assert later(edge, HOUR) == edge
    assert earlier(datetime.min.replace(tzinfo=UTC), HOUR) == datetime.min.replace(tzinfo=UTC)
    assert reconcile(scheduled(datetime.min.replace(tzinfo=UTC)), None, NOW).state.status is EventStatus.EXPIRED


moments = st.none() | st.sampled_from([LONG_PAST, PAST, NOW, SOON, SOON + HOUR])
snapshots = st.one_of(
    st.builds(scheduled, moments, st.booleans(), late=st.sampled_from([None, HOUR])),
    st.builds(immediate, st.booleans(), repeat=st.booleans()),
)


@given(st.lists(snapshots, min_size=1, max_size=8))
def test_reconciling_twice_changes_nothing_more(views):
    """Whatever came before, the same view a second time is KEEP: an unchanged save writes nothing."""
    scheduled_only = [view for view in views if view.scheduled == views[0].scheduled]
    row = None
    for view in scheduled_only:
        change = reconcile(view, row, NOW)
        row = change.state
        again = reconcile(view, row, NOW)
        assert again.verb is Verb.KEEP, (change, again)


@given(st.lists(moments, max_size=6), moments)
def test_after_an_occurrence_only_the_last_date_counts_and_not_the_way_there(way, last):
    occurred = state(at=PAST, status=EventStatus.OCCURRED)
    row = occurred
    for at in way:
        row = reconcile(scheduled(at), row, NOW).state
    row = reconcile(scheduled(last), row, NOW).state

    straight = reconcile(scheduled(last), occurred, NOW).state
    assert (row.next_at, row.status is EventStatus.PENDING and row.at is not None) == (
        straight.next_at,
        straight.status is EventStatus.PENDING,
    )


def test_time_that_came_while_nobody_looked_is_not_taken_back_by_a_correction():
    armed = state(at=PAST, next_at=PAST, generation=2, previous_at=PAST - HOUR)
    assert reconcile(scheduled(PAST + HOUR / 2), armed, NOW).state.next_at == PAST + HOUR / 2
    assert reconcile(scheduled(PAST - HOUR), armed, NOW).state.status is EventStatus.CANCELLED, "where it has occurred"


def test_date_corrected_after_an_outage_of_days_does_not_expire():
    """It was armed in time, so it is owed; how old the corrected date is says nothing against it."""
    armed = state(at=LONG_PAST, next_at=LONG_PAST)
    change = reconcile(scheduled(LONG_PAST + HOUR / 12), armed, NOW)
    assert (change.state.status, change.state.next_at) == (EventStatus.PENDING, LONG_PAST + HOUR / 12)


def test_date_marked_as_occurred_ahead_of_its_time_stays_so_by_any_way():
    row = state(at=SOON, status=EventStatus.OCCURRED)
    for at in (SOON + HOUR, None, SOON):
        row = reconcile(scheduled(at), row, NOW).state
    assert (row.status, row.next_at) == (EventStatus.CANCELLED, None)
    assert reconcile(scheduled(SOON), row, NOW).verb is Verb.KEEP


@given(st.lists(snapshots, min_size=1, max_size=8))
def test_every_pending_row_has_a_time_or_a_reason(views):
    row = None
    for view in (view for view in views if view.scheduled == views[0].scheduled):
        row = reconcile(view, row, NOW).state
        if row.status is EventStatus.PENDING:
            assert row.next_at is not None or row.why
            if row.next_at is not None and row.next_at <= NOW:
                row = judge(view, row, NOW).state
                assert row.status is not EventStatus.PENDING or row.next_at is None or row.next_at > NOW
