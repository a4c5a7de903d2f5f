"""Several clusters, and more work than one can do at once."""

from tests.clusters.stage import play


def test_two_clusters_share_the_work_and_double_none_of_it():
    facts = play("share", runs=30, limit_seconds=120)

    assert facts["entries"] == facts["expected"]
    assert facts["doubles"] == []
    assert all(facts["by cluster"]), f"both worked: {facts['by cluster']}"


def test_sweeps_go_on_under_a_backlog_of_ten_thousand():
    """Each within twice its interval. The intervals are shortened, so that the backlog outlasts several of them."""
    facts = play(
        "backlog",
        messages=10_000,
        interval=4,
        watch_seconds=14,
        every={"SWEEP_EVERY": 4, "POLL_EVERY": 4},
        limit_seconds=120,
    )

    assert facts["still waiting"] > 1000, "there was a backlog all the while"
    assert facts["longest pause"]["workflows"] <= 2 * facts["interval"], facts
    assert facts["longest pause"]["events"] <= 2 * facts["interval"], facts


def test_the_sweeps_may_have_a_queue_and_a_cluster_of_their_own():
    facts = play(
        "queues",
        runs=10,
        q2={"ALT_CLUSTERS": {"sweeps": {"workers": 1}}},
        queues={"SWEEP_QUEUE": "sweeps"},
        limit_seconds=120,
    )

    assert facts["clusters of schedules"] == ["sweeps"]
    assert facts["entries"] == facts["expected"]
    assert facts["doubles"] == []
    assert facts["labour by the sweeping cluster"] == 0
    assert facts["queues"] == ["sweeps"], "only the link is left"
