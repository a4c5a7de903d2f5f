"""The runner of all suites: what it starts side by side does not meet."""

from tools import suite


def test_no_two_suites_share_a_database():
    """Suites of the whole house have the same settings: one dropped the database that another was creating."""
    jobs = suite.jobs(suite.DATABASES, only=())

    suffixes = [suite._suffix(job) for job in jobs]

    assert len(jobs) > len(suite.DATABASES)
    assert len(set(suffixes)) == len(jobs)
