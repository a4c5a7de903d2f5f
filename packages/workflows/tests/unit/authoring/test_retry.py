"""The policy, alone."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.workflows.core import Retry
from automation.workflows.errors import DefinitionError


@pytest.mark.parametrize(
    ("failed", "seconds"),
    [
        pytest.param(1, 2, id="2"),
        pytest.param(2, 6, id="2 * 3"),
        pytest.param(3, 18, id="2 * 3 * 3"),
        pytest.param(4, 20, id="54, but never beyond 20"),
        pytest.param(10_000, 20, id="no overflow"),
    ],
)
def test_delays_grow_up_to_the_longest(failed: int, seconds: int) -> None:
    policy = Retry(base_delay=timedelta(seconds=2), backoff_factor=3, max_delay=timedelta(seconds=20))

    assert policy.delay(failed) == timedelta(seconds=seconds)


@given(failed=st.integers(1, 50), chance=st.floats(0, 1, exclude_max=True), jitter=st.floats(0, 1))
def test_jitter_never_shortens_a_delay_and_never_passes_the_longest(failed: int, chance: float, jitter: float) -> None:
    plain, shaken = Retry(), Retry(jitter=jitter)

    assert plain.delay(failed) <= shaken.delay(failed, chance) <= plain.max_delay


def test_the_first_try_counts() -> None:
    policy = Retry(max_attempts=2)

    assert [policy.gives_up(RuntimeError(), failed) for failed in (1, 2)] == [False, True]


def test_give_up_on_takes_one_exception_or_several_and_their_children() -> None:
    assert Retry(give_up_on=LookupError).gives_up(KeyError(), 1)  # type: ignore[arg-type]
    assert Retry(give_up_on=(ValueError, LookupError)).gives_up(KeyError(), 1)
    assert not Retry(give_up_on=(ValueError,)).gives_up(KeyError(), 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_attempts": 0}, r"Retry\(max_attempts=0\) never runs the step. Use 1 or more"),
        ({"base_delay": 5}, r"Retry\(base_delay=5\) is not a duration. Use timedelta\(seconds=...\)"),
        ({"max_delay": timedelta(-1)}, "max_delay=.* is not a duration"),
        ({"max_delay": timedelta.max}, "max_delay=.* is not a duration"),
        ({"backoff_factor": float("nan")}, "shortens delays. Use 1.0 or more"),
        ({"give_up_on": ("ValueError",)}, r"takes exception classes. Use \(ValueError,\)"),
        ({"backoff_factor": 0.5}, "shortens delays. Use 1.0 or more"),
        ({"jitter": 2}, "is outside 0.0 to 1.0"),
        ({"max_attempts": "3"}, r"Retry\(max_attempts='3'\) is not a whole number. Use 1 or more"),
        ({"max_attempts": None}, r"Retry\(max_attempts=None\) is not a whole number. Use 1 or more"),
        ({"max_attempts": 2.5}, r"Retry\(max_attempts=2.5\) is not a whole number. Use 1 or more"),
        ({"backoff_factor": "2"}, r"Retry\(backoff_factor='2'\) is not a number. Use 1.0 or more"),
        ({"jitter": None}, r"Retry\(jitter=None\) is not a number. Use 0.0 to 1.0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        Retry(**options)  # type: ignore[arg-type]
