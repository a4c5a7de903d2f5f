"""The settings are read when asked for, and every mistake in them is named."""

from datetime import timedelta

import pytest

from automation.q2_executor.checks import check_settings
from automation.q2_executor.conf import Configuration, conf


def test_without_settings_the_defaults_hold():
    assert conf() == Configuration()
    assert check_settings() == []


def test_settings_are_read_each_time(settings):
    settings.AUTOMATION_Q2 = {"QUEUE": "one"}
    assert conf().queue == "one"

    settings.AUTOMATION_Q2 = {"QUEUE": "two"}
    assert conf().queue == "two"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], "It must be a dict"),
        ({"QUEU": "runs"}, "unknown key 'QUEU'. Did you mean 'QUEUE'? Known keys: EVENT_HORIZON"),
        ({"QUEUE": ""}, "None or the name of a q2 queue"),
        ({"QUEUE": 3}, "None or the name of a q2 queue"),
        ({"TIMERS": 1}, "True or False"),
        ({"SWEEP_EVERY": 60}, "a timedelta of a second or more"),
        ({"SWEEP_EVERY": timedelta(milliseconds=500)}, "a timedelta of a second or more"),
        ({"POLL_EVERY": timedelta(days=1)}, "less than a day"),
        ({"RUN_HORIZON": timedelta(0)}, "None or a timedelta of more than nothing"),
    ],
    ids=repr,
)
def test_a_mistake_is_an_error_of_check_and_the_default_holds(settings, written, said: str):
    settings.AUTOMATION_Q2 = written

    assert [said in error.msg for error in check_settings()] == [True]
    assert conf() == Configuration()


@pytest.mark.parametrize(
    ("written", "runs", "events"),
    [
        # Two sweeps with 30 s of lateness each; one poll and a half, and 30 s.
        ({}, 180, 480),
        # What is due between two late sweeps still has a timer.
        ({"SWEEP_EVERY": timedelta(minutes=2), "POLL_EVERY": timedelta(minutes=10)}, 300, 930),
        ({"RUN_HORIZON": timedelta(seconds=7), "EVENT_HORIZON": timedelta(seconds=8)}, 7, 8),
    ],
    ids=str,
)
def test_timers_reach_beyond_the_next_sweep_however_seldom_it_comes(settings, written, runs: int, events: int):
    settings.AUTOMATION_Q2 = written

    assert check_settings() == []
    assert (conf().horizon_of_runs.total_seconds(), conf().horizon_of_events.total_seconds()) == (runs, events)
