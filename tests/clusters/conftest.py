"""What is played on which database, so that all of it is played once in a run over the databases."""

import os

DATABASE = os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite")

_HEAVY = ["test_backlog.py", "test_crashes.py", "test_hardships.py", "test_many_clusters.py"]

collect_ignore = [
    # One writer at a time, or no `pg_terminate_backend`: several clusters and crashes are PostgreSQL's.
    *(_HEAVY if DATABASE != "postgres" else []),
    # They take as long as sweeps and supervisors do.
    *(["test_flushed.py", "test_frozen.py"] if DATABASE != "postgres" or not os.environ.get("AUTOMATION_LONG") else []),
    # Neither the broker nor the pages depend on the database.
    *(["test_redis.py", "test_docs.py", "test_strikes.py"] if DATABASE != "sqlite" else []),
]
