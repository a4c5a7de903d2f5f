"""Several clusters on one database."""

from tests.clusters.stage import play


def test_two_clusters_share_the_work_and_double_none_of_it():
    facts = play("share", runs=30, limit_seconds=500)

    assert facts["entries"] == facts["expected"]
    assert facts["doubles"] == []
    assert all(facts["by cluster"]), f"both worked: {facts['by cluster']}"


def test_the_sweeps_may_have_a_queue_and_a_cluster_of_their_own():
    facts = play(
        "queues",
        runs=10,
        q2={"ALT_CLUSTERS": {"sweeps": {"workers": 1}}},
        queues={"SWEEP_QUEUE": "sweeps"},
        limit_seconds=500,
    )

    assert facts["clusters of schedules"] == ["sweeps"]
    assert facts["entries"] == facts["expected"]
    assert facts["doubles"] == []
    assert facts["labour by the sweeping cluster"] == 0
    assert facts["queues"] == ["sweeps"]
