"""A cluster that looks alive and does nothing is found by the doctor, and replaced by the supervisor of the docs."""

from tests.clusters.stage import play


def test_a_frozen_cluster_is_replaced_and_the_work_goes_on():
    facts = play("frozen", runs=5, seconds=180, every={"SWEEP_EVERY": 2, "POLL_EVERY": 2}, limit_seconds=400)

    assert facts["frozen"], "there was one to be frozen"
    assert facts["alive"] == []
    assert facts["doubles"] == []
