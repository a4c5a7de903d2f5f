"""The table of an event's statuses, every cell."""

import pytest

from automation.events.lifecycle import TRANSITIONS, Cause, EventStatus, IllegalTransition, advance

LEGAL = {
    (EventStatus.PENDING, Cause.MOVED): EventStatus.PENDING,
    (EventStatus.PENDING, Cause.DISARMED): EventStatus.PENDING,
    (EventStatus.PENDING, Cause.RETURNED): EventStatus.CANCELLED,
    (EventStatus.PENDING, Cause.HELD_BACK): EventStatus.PENDING,
    (EventStatus.PENDING, Cause.FULFILLED): EventStatus.OCCURRED,
    (EventStatus.PENDING, Cause.MARKED): EventStatus.OCCURRED,
    (EventStatus.PENDING, Cause.CANCELLED): EventStatus.CANCELLED,
    (EventStatus.PENDING, Cause.DELETED): EventStatus.CANCELLED,
    (EventStatus.PENDING, Cause.EXPIRED): EventStatus.EXPIRED,
    (EventStatus.PENDING, Cause.WITHDRAWN): EventStatus.CANCELLED,
}


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("status", EventStatus)
def test_every_cell_is_legal_or_refused(status, cause):
    if (status, cause) in LEGAL:
        assert advance(status, cause) is LEGAL[status, cause]
    else:
        with pytest.raises(IllegalTransition, match=f"'{status}' cannot be '{cause}'"):
            advance(status, cause)


def test_final_statuses_are_present_and_empty():
    assert set(TRANSITIONS) == set(EventStatus)
    assert [status for status, row in TRANSITIONS.items() if not row] == [
        EventStatus.OCCURRED,
        EventStatus.CANCELLED,
        EventStatus.EXPIRED,
    ]


def test_refusal_lists_what_may_follow():
    with pytest.raises(IllegalTransition, match="nothing: it is final"):
        advance(EventStatus.OCCURRED, Cause.CANCELLED)
