"""What is played on which database, so that all of it is played once in a run over the databases."""

import os

DATABASE = os.environ.get("AUTOMATION_TEST_DATABASE", "sqlite")

_HEAVY = [
    f"test_{name}.py"
    for name in ("backlog", "crashes", "flushed", "frozen", "grown", "hardships", "many_clusters", "recycled", "stale")
]

collect_ignore = [
    # One writer at a time, or no `pg_terminate_backend`: several clusters and crashes are PostgreSQL's.
    *(_HEAVY if DATABASE != "postgres" else []),
    # Neither the broker nor the pages depend on the database.
    *(["test_redis.py", "test_docs.py", "test_strikes.py"] if DATABASE != "sqlite" else []),
]
