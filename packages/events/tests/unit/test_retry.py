"""Backoff."""

from datetime import timedelta

import pytest

from automation.events.lifecycle import RetryPolicy


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [
        pytest.param(1, 20, id="20 * 2**0"),
        pytest.param(2, 40, id="20 * 2**1"),
        pytest.param(4, 160, id="20 * 2**3"),
        pytest.param(20, 3600, id="20 * 2**19 is more than the maximum of an hour"),
        pytest.param(100_000, 3600, id="does not overflow"),
    ],
)
def test_delay_doubles_up_to_the_maximum(attempts, seconds):
    assert RetryPolicy(jitter=0).delay(attempts, lambda: 0.99) == timedelta(seconds=seconds)


def test_jitter_only_adds():
    policy = RetryPolicy(jitter=0.5)
    assert policy.delay(1, lambda: 0.0) == timedelta(seconds=20)
    assert policy.delay(1, lambda: 0.5) == timedelta(seconds=25)


def test_limit_counts_the_first_try():
    assert not RetryPolicy(max_attempts=3).exhausted(2)
    assert RetryPolicy(max_attempts=3).exhausted(3)
