"""The bad luck of a seed is the same each time."""

from tests.clusters.strikes import Strike, planned, told


def test_a_seed_gives_the_same_strikes_each_time():
    plan = planned(7, seconds=60, restarts=False)

    assert plan == planned(7, seconds=60, restarts=False)
    assert plan != planned(8, seconds=60, restarts=False)
    assert 60 <= sum(strike.after for strike in plan) < 61.2


def test_a_longer_run_begins_like_a_shorter_one():
    short = planned(7, seconds=10, restarts=True)

    assert planned(7, seconds=60, restarts=True)[: len(short)] == short


def test_the_server_is_left_alone_unless_it_may_be_restarted():
    assert "the server" not in {strike.kind for strike in planned(7, seconds=300, restarts=False)}
    assert "the server" in {strike.kind for strike in planned(7, seconds=300, restarts=True)}


def test_a_strike_meets_one_of_those_that_are_there():
    strike = Strike(after=0, kind="a worker", which=0.99, how=0)

    assert (strike.victim([1, 2, 3]), strike.victim([1]), strike.victim([])) == (3, 1, None)


def test_the_plan_can_be_read():
    assert told(planned(7, seconds=5, restarts=False)).startswith("8 strikes: 3 x a worker, 2 x a date")
